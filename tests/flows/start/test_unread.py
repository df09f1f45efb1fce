"""A command at a pipe's end, at a full disk, or with nothing to print to."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def clone(project):
    """A project without outputs, with the presets and devices of this one."""
    shutil.copytree(ROOT / "infra", project / "infra")
    shutil.copy(ROOT / "dvc.yaml", project)
    shutil.copy(ROOT / "params.yaml", project)
    return project


def script(folder, *words, code="from flows.cli import console; console()", **options):
    """The console script's command, ready to be started in a folder."""
    env = os.environ | {"PYTHONPATH": str(ROOT)} | options
    return {"args": [sys.executable, "-c", code, *words], "cwd": folder, "env": env}


@pytest.fixture
def unread():
    """The end to write to of a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


@pytest.mark.parametrize("words", [["devices"], ["devices", "--support"]], ids=["at the end", "at once, by rich"])
def test_a_reader_that_has_had_enough_is_no_fault(words, clone, unread):
    command = script(clone, *words)
    done = subprocess.run(**command, stdout=unread, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.stderr == b""
    assert done.returncode == 128 + signal.SIGPIPE


def test_what_is_told_to_a_full_disk_has_failed(clone):
    with Path("/dev/full").open("wb") as full:
        command = script(clone, "use", "smoke", "--force")
        done = subprocess.run(**command, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 1
    assert re.fullmatch(rb"tercet: .*No space left on device\n", done.stderr)


TELLING = """
import logging, sys
from pathlib import Path
from tqdm import tqdm
from flows import cli, run

def work(_wish):
    run.quiet_libraries()
    run.log_to_terminal()
    for _ in tqdm(range(3), mininterval=0, desc="é"):
        logging.getLogger("tasks").info("é")
        print("é", file=sys.stderr)
        print("é", flush=True)
    Path("made").touch()
    return 0

run.run = work
cli.console()
"""


def test_a_run_whose_readers_have_gone_goes_on(clone, unread):
    command = script(clone, "run", code=TELLING)
    done = subprocess.run(**command, stdout=unread, stderr=unread, timeout=60, check=False)
    assert (done.returncode, (clone / "made").exists()) == (0, True)


def test_what_a_run_tells_is_in_the_terminals_encoding(clone):
    command = script(clone, "run", code=TELLING, PYTHONIOENCODING="ascii")
    done = subprocess.run(**command, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0
    assert (done.stdout + done.stderr).isascii()


def test_a_run_without_streams_goes_on(clone):
    shell = ["sh", "-c", 'exec "$0" "$@" <&- >&- 2>&-']
    command = script(clone, "run", code=TELLING)
    done = subprocess.run(**command | {"args": shell + command["args"]}, timeout=60, check=False)
    assert (done.returncode, (clone / "made").exists()) == (0, True)
