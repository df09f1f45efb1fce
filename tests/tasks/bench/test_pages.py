"""Whether a program that is started again is the same one, and has huge pages where the kernel gives them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.bench.runner import pages

RUNNER = Path(pages.__file__).parents[1]
THP = Path("/sys/kernel/mm/transparent_hugepage/enabled")
SAYS = """
import sys; sys.path.insert(0, sys.argv[1])
import os
from runner import pages
content = {stdin}
pages.start_again(content)
import json
held = bytearray(2**28)  # touched by the kernel's zeros alone
for place in range(0, len(held), 4096): held[place] = 1
smaps = open("/proc/self/smaps_rollup").read().split("AnonHugePages:")[1].split()[0]
read = (content or sys.stdin.buffer.read()).decode()
print(json.dumps([os.getpid(), sys.argv[2:], read, os.environ["GLIBC_TUNABLES"], int(smaps)]))
"""
glibc = pytest.mark.skipif(
    sys.platform != "linux" or not os.confstr("CS_GNU_LIBC_VERSION"), reason="the tunable is one of glibc's on Linux"
)


def told(code, *words, stdin=b"", **environment):
    command = [sys.executable, "-I", "-c", code, str(RUNNER), *words]
    usual = {name: value for name, value in os.environ.items() if name != pages.TUNABLES}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=usual | environment)
    out, _ = process.communicate(stdin, timeout=60)
    assert process.returncode == 0
    return process.pid, json.loads(out)


@glibc
def test_it_is_the_same_process_with_the_same_words_and_the_same_input():
    request = b"x" * 300_000  # more than a pipe holds
    pid, (own, words, read, tunables, huge_kib) = told(
        SAYS.format(stdin="sys.stdin.buffer.read()"), "a b", "ü", stdin=request
    )
    assert (own, words, read.encode(), tunables) == (pid, ["a b", "ü"], request, pages.HUGE)
    if "[never]" not in THP.read_text():
        assert huge_kib > 0


@glibc
def test_what_was_read_by_nobody_is_still_there_and_other_tunables_stay():
    given = "glibc.malloc.check=0"
    _, (_, _, read, tunables, _) = told(SAYS.format(stdin="None"), stdin=b"later", GLIBC_TUNABLES=given)
    assert (read, tunables) == ("later", f"{given}:{pages.HUGE}")


def test_a_program_that_was_started_so_goes_on(monkeypatch):
    monkeypatch.setenv(pages.TUNABLES, f"a=1:{pages.HUGE}")
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("it was started once more"))
    pages.start_again(b"")
    assert pages.huge()


def test_where_no_program_can_be_started_it_goes_on_as_it_is(monkeypatch):
    def refuses(*_):
        raise OSError("exec format error")

    monkeypatch.delenv(pages.TUNABLES, raising=False)
    monkeypatch.setattr(os, "execve", refuses)
    pages.start_again()
    assert not pages.huge()
    assert (pages.worth({"platform": "cpu"}), pages.worth({"platform": "cuda"}), pages.worth({})) == (
        True,
        False,
        False,
    )
