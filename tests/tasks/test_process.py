"""Programs that hang, crash, babble or are not there."""

import fcntl
import os
import resource
import sys
import time
from pathlib import Path

import pytest

from tasks.errors import DeviceError, ModelError
from tasks.process import ready, told


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_what_it_wrote_and_its_code_are_told() -> None:
    done = told(
        python("import sys; print('out'); print('a\\nb ', file=sys.stderr); sys.exit(3)"), timeout_s=30, what="it"
    )
    assert (done.code, done.out, done.last_words) == (3, "out\n", "b")
    assert told(python("print('only out')"), timeout_s=30, what="it").last_words == "only out"
    assert told(python(""), timeout_s=30, what="it").last_words == "it said nothing"
    assert told(python("import os; os.kill(os.getpid(), 9)"), timeout_s=30, what="it").code == -9


def test_what_is_no_text_is_told_all_the_same() -> None:
    done = told(python("import os; os.write(1, b'\\xff\\xfe'); os.write(2, b'x' * 10_000)"), timeout_s=30, what="it")
    assert done.out == "��"
    assert len(done.last_words) == 300


def test_the_last_words_name_no_folder_that_was_made_for_a_while() -> None:
    done = told(python("print('OSError: /tmp/tercet-scratch-vela-x/one.tflite')"), timeout_s=30, what="it")
    assert done.last_words == "OSError: one.tflite"


def test_it_gets_no_input_and_only_the_variables_that_are_given() -> None:
    code = "import os, sys; print(repr(sys.stdin.read()), os.environ.get('MINE'))"
    done = told(python(code), timeout_s=30, what="it", environment={"MINE": "yes"})
    assert done.out == "'' yes\n"


def test_one_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    """The child holds its parent's output open: waiting for the end of that would take a minute."""
    pid = tmp_path / "pid"
    code = f"import os, time; child = os.fork(); child and open({str(pid)!r}, 'w').write(str(child)); time.sleep(60)"
    begun = time.monotonic()
    with pytest.raises(DeviceError, match=r"^the converter did not end within 3 s and was ended$"):
        told(python(code), timeout_s=3, what="the converter")
    assert time.monotonic() - begun < 20
    child = Path(f"/proc/{pid.read_text()}/stat")
    deadline = time.monotonic() + 10
    while child.exists() and child.read_text().split()[2] != "Z" and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not child.exists() or child.read_text().split()[2] == "Z"


@pytest.mark.parametrize(
    ("name", "mode", "reason"),
    [
        ("absent", None, "No such file or directory"),
        ("closed", 0o644, "Permission denied"),
        ("rubbish", 0o755, "Exec format error"),
        ("nul\0", None, "embedded null byte"),
    ],
)
def test_one_that_does_not_start_is_an_error_of_the_callers_kind(
    tmp_path: Path, name: str, mode: int | None, reason: str
) -> None:
    path = tmp_path / name
    if mode:
        path.write_bytes(b"\x01\x02")
        path.chmod(mode)
    with pytest.raises(ModelError, match=f"^the file: .*{name.rstrip(chr(0))}.* does not start: {reason}$"):
        told([os.fspath(path)], timeout_s=5, what="the file", error=ModelError)


def test_a_pipe_of_a_high_number_is_waited_for() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2048:
        resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
    out, into = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD, 1100) for end in (out, into)]
    try:
        assert not ready(high[0], 0)
        assert ready(high[1], 0, to_take=True)
        os.write(into, b"a")
        assert ready(high[0], -1)
        os.read(out, 1)
        os.close(into)
        os.close(high.pop())
        assert ready(high[0], 0), "the end, too"
    finally:
        for each in (out, *high):
            os.close(each)
