"""Ctrl-C, `kill` and a closed terminal, sent as a terminal sends them: to every process of the foreground group."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.terminals import CROWDED, LIMIT_S, PROMPT_S

ROOT = Path(__file__).resolve().parents[2]
# what a run is made of: a thread in C that nothing interrupts, one that waits, a child in a group of its own
BUSY = """
import hashlib, subprocess, sys, threading, time
from pathlib import Path
from tasks import signals

signals.before_end(lambda: Path("let-go").touch())
signals.before_end(lambda: 1 / 0)
signals.listen("tercet", "`tercet run` goes on from here")
child = subprocess.Popen([sys.executable, "-c", "import time; print('child', flush=True); time.sleep(100)"],
                         start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
for work in (lambda: hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1), lambda: time.sleep(100)):
    threading.Thread(target=work).start()
print("ready", child.pid, flush=True)
{main}
"""
WAITING = "threading.Event().wait(100)"
STUBBORN = "signals.before_end(lambda: (Path('stuck').touch(), time.sleep(100))); threading.Event().wait(100)"


def busy(terminal, main=WAITING):
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    started = terminal([sys.executable, "-c", BUSY.format(main=main)], env=env)
    started.read(r"^ready \d+")
    return started, psutil.Process(int(started.said.split()[-1]))


def gone(processes):
    return not psutil.wait_procs(processes, PROMPT_S)[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_one_line_and_nothing_left(number, terminal, project):
    started, child = busy(terminal)
    took, code = started.end(number)
    assert code == 128 + number
    assert took < PROMPT_S * CROWDED
    what = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
    line = f"tercet: {what}; `tercet run` goes on from here\n"
    said = started.said.partition("ready")[2].partition("\n")[2]
    assert re.sub(r"\^C|\r|\x1b\[\??[0-9]*[a-zA-Z]", "", said) == line
    assert gone([child])
    assert (project / "let-go").exists()  # though the step before it failed


def test_a_second_one_ends_it_at_once(terminal, project):
    started, child = busy(terminal, STUBBORN)
    os.write(started.descriptor, b"\x03")
    while not (project / "stuck").exists():
        time.sleep(0.01)
    _, code = started.end(signal.SIGINT)
    assert (code, gone([child])) == (130, True)


def test_what_cannot_be_let_go_of_is_waited_for_a_moment_only(terminal):
    started, child = busy(terminal, STUBBORN)
    took, code = started.end(signal.SIGTERM)
    assert (code, gone([child])) == (143, True)
    assert took < PROMPT_S * CROWDED


def test_what_nohup_ignores_stays_ignored(terminal, project):
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    started = terminal(["nohup", sys.executable, "-c", BUSY.format(main=WAITING)], env=env)
    while not (project / "nohup.out").exists() or "ready" not in (project / "nohup.out").read_text():
        time.sleep(0.01)
    os.kill(started.pid, signal.SIGHUP)
    time.sleep(0.3)
    assert psutil.Process(started.pid).is_running()
    _, code = started.end(signal.SIGTERM)
    assert code == 143


# Ctrl-C at the nth import, or whatever else an audit hook is told of, from the first line of the command on
EARLY = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background command ignores it
import tercet

left = int(sys.argv.pop())
def interrupt(event, _words):
    global left
    left -= event == "import"
    if not left:
        left = -1
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(20)
sys.addaudithook(interrupt)
tercet.console()
"""


@pytest.mark.parametrize("moment", [1, 2, 4, 7, 12, 20, 40])
def test_ctrl_c_while_the_command_begins_is_one_line_at_most(moment, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", EARLY, "devices", str(moment)], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) in [(-signal.SIGINT, ""), (128 + signal.SIGINT, "tercet: interrupted\n")]


EPOCHS = 30
STAGES = {  # what a run says, or what it has as a descendant, when it is in the midst of that
    "start-up": r"stages to look at$",
    "train": rf"^train baseline: epoch [3-9] of {EPOCHS} ",
    "compress": rf"^prune: epoch [3-9] of {EPOCHS} ",
    "quantize": r"cluster pruned50-clustered8: ran in ",
    "benchmark": "runner.__main__",
    "report": r"benchmark pruned50-clustered8-int8 @ host-cpu: ran in ",
}


def lengthen(params):
    for entry in (params["train"], params["compress"]["pruned50"]):
        entry["epochs"] = EPOCHS
    params["benchmark"]["protocol"].update(windows=2, window_s=1.0)


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_a_run_stops_in_every_stage_and_the_next_completes_it(terminal, make_clone, outcomes):
    clone = make_clone()
    clone.change(lengthen)
    for place, (stage, sign) in enumerate(STAGES.items()):
        number = (signal.SIGINT, signal.SIGTERM)[place % 2]
        started = terminal([str(Path(sys.executable).parent / "tercet"), "run"], clone.root, clone.env)
        await_stage(started, sign)
        took, code = started.end(number)
        assert code == 128 + number, started.said
        assert took < PROMPT_S * CROWDED, stage
        assert "Traceback" not in started.said
        assert started.said.count("tercet: ") == 1
        assert gone(started.family), f"{stage}: processes are left"
    said = clone.run("tercet", "run")
    assert "Traceback" not in said
    assert clone.run("dvc", "status") == "Data and pipelines are up to date.\n"
    assert not list((clone.root / "out").rglob("*.tmp"))


def await_stage(started, sign):
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        started.read("", 1)
        words = [" ".join(command(process)) for process in started.family]
        if re.search(sign, started.said, re.MULTILINE) or any(sign in each for each in words):
            return
        time.sleep(0.05)
    raise AssertionError(started.said)


def command(process):
    try:
        return process.cmdline()
    except psutil.Error:  # it has ended meanwhile
        return []
