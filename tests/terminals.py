"""A terminal, and a command in it as a user types one."""

import os
import pty
import re
import signal
import time
from contextlib import suppress

import psutil

PROMPT_S = 5.0
CROWDED = 4.0  # other tests have the processors as well
LIMIT_S = 300.0


class Terminal:
    """A process that leads a session with a terminal of its own, and what it has printed there."""

    def __init__(self, command, folder, env=None):
        self.said = ""
        self.pid, self.descriptor = pty.fork()
        if not self.pid:
            for number in (signal.SIGINT, signal.SIGHUP):  # a shell's background command ignores them
                signal.signal(number, signal.SIG_DFL)
            os.chdir(folder)
            os.execvpe(command[0], command, env or os.environ)
        self.family = []

    def read(self, until=None, limit_s=LIMIT_S):
        """What it prints, until it matches or the process has ended; with "" what there is."""
        os.set_blocking(self.descriptor, False)
        end = time.monotonic() + limit_s
        while time.monotonic() < end and not (until and re.search(until, self.said, re.MULTILINE)):
            try:
                self.said += os.read(self.descriptor, 65536).decode(errors="replace").replace("\r\n", "\n")
            except BlockingIOError:
                if until == "":
                    break
                time.sleep(0.02)
            except OSError:  # nobody has the other side any more
                break
        assert not until or re.search(until, self.said, re.MULTILINE), self.said
        with suppress(psutil.Error):
            self.family = psutil.Process(self.pid).children(recursive=True)
        return self.said

    def type(self, line):
        """Type a line, and forget what was said before."""
        self.said = ""
        os.write(self.descriptor, f"{line}\n".encode())

    def end(self, number):
        """Send a signal to the foreground group; how long it took to end, and the exit code."""
        start = time.monotonic()
        if number == signal.SIGINT:
            os.write(self.descriptor, b"\x03")
        else:
            os.killpg(os.tcgetpgrp(self.descriptor), number)
        return self.wait(start)

    def wait(self, start):
        self.read(limit_s=PROMPT_S * CROWDED)
        found = 0
        while not found and time.monotonic() - start < LIMIT_S:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            time.sleep(0.01)
        assert found, "it did not end"
        return time.monotonic() - start, os.waitstatus_to_exitcode(status)

    def close(self):
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for process in self.family:
            with suppress(psutil.Error):
                process.kill()
        os.close(self.descriptor)
