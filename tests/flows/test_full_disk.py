"""A disk that becomes full in the middle of a run: one line says so, and the run goes on once there is room."""

import re
import shutil
import subprocess

import pytest

from tests.disks import disk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
DISK_KIB = 65536


def run(clone, enter, *words):
    """A command in the project, as its disk has it: its exit code, and both streams together."""
    done = subprocess.run(
        [*enter, *words], env=clone.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=900, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


def one_estimate(params):
    params["compress"] = {}
    params["quantize"] = {
        name: {"model": "baseline", "scheme": scheme} for name, scheme in (("fp32", "float32"), ("int8", "int8"))
    }
    params["benchmark"]["devices"] = ["ethos-u55-128"]


def test_a_disk_that_is_full_ends_a_run_in_a_line_and_the_next_goes_on(make_clone):
    clone = make_clone()
    clone.change(one_estimate)
    folder = clone.root.with_name("disk")
    folder.mkdir()
    with disk(folder, DISK_KIB) as (enter, seen):
        shutil.copytree(clone.root, seen, symlinks=True, dirs_exist_ok=True)
        clone.env["PYTHONPATH"] = str(folder)
        for left_kib in (64, 2048):
            filler = seen / "filler"
            filler.write_bytes(bytes(shutil.disk_usage(seen).free - left_kib * 1024))
            code, said = run(clone, enter, "tercet", "run")
            assert code == 1
            assert "Traceback" not in said, said
            last = said.splitlines()[-1]
            assert re.search(r"tercet: .*No space left on device", said), said
            assert last.startswith("tercet: "), said
            filler.unlink()
        code, said = run(clone, enter, "tercet", "run")
        assert code == 0, said
        assert not list((seen / "out").rglob("*.tmp"))
