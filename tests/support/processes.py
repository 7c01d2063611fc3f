"""Python scripts in processes of their own, as a person at a terminal would use them."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

DEADLINE = 60.0
"""Seconds for anything to happen: far more than it takes, so that a slow machine does no harm."""

PATIENCE = 3.0
"""Seconds until a person presses Ctrl-C once more."""


def hear_ctrl_c() -> None:
    """Take Ctrl-C seriously again, here and in the processes that are started from now on.

    A shell has what it starts in the background, with ``&``, ignore Ctrl-C, and its children too.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class Script:
    """A running script. What it prints is read line by line, and no wait is without an end."""

    def __init__(
        self,
        path: Path,
        arguments: Iterable[str],
        cwd: Path,
        under: Iterable[str] = (),
        *,
        asks: bool = False,
    ) -> None:
        """``under``: the command of a tool that runs the script and watches it. ``asks``: it reads
        what :meth:`type` is given."""
        self.name = path.name
        self.lines: list[str] = []
        """What was read so far."""
        self._is_interrupted = False
        self._incoming: queue.Queue[str | None] = queue.Queue()
        hear_ctrl_c()
        self._stderr = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 (closed by end())
        self.process = subprocess.Popen(
            [*under, sys.executable, "-u", str(path), *arguments],
            cwd=cwd,
            stdin=subprocess.PIPE if asks else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            env={**os.environ, "PYTHONWARNINGS": "error::DeprecationWarning"},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._incoming.put(line.rstrip("\n"))
        self._incoming.put(None)

    def read_line(self) -> str | None:
        """The next line; ``None`` when the script has closed its output."""
        try:
            line = self._incoming.get(timeout=DEADLINE)
        except queue.Empty:
            raise AssertionError(f"nothing more was printed: {self}") from None
        if line is None:
            self._incoming.put(None)
        else:
            self.lines.append(line)
        return line

    def wait_for(self, text: str) -> str:
        """Read up to a line that contains ``text``, and return it."""
        while (line := self.read_line()) is not None:
            if text in line:
                return line
        raise AssertionError(f"{text!r} was not printed: {self}")

    def rest(self) -> list[str]:
        """Read up to the end of the output."""
        begin = len(self.lines)
        while self.read_line() is not None:
            pass
        return self.lines[begin:]

    def type(self, line: str) -> None:
        """Type a line at the terminal."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def end_input(self) -> None:
        """Press Ctrl-D."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    def interrupt(self) -> None:
        """Press Ctrl-C; :meth:`wait` presses it again as long as the script goes on."""
        self._is_interrupted = True
        self.process.send_signal(signal.SIGINT)

    def kill(self) -> None:
        """``kill -9``; returns when the process is gone."""
        self.process.kill()
        self.process.wait(DEADLINE)

    def wait(self) -> int:
        """Wait for the end; returns the exit code.

        CPython drops a KeyboardInterrupt that comes while it calls a weak reference's callback
        ("Exception ignored in ..."), as it does at the end of each import. A person presses
        Ctrl-C again then.
        """
        end = time.monotonic() + DEADLINE
        while (left := end - time.monotonic()) > 0:
            try:
                code = self.process.wait(min(left, PATIENCE))
            except subprocess.TimeoutExpired:
                if self._is_interrupted:
                    self.interrupt()
            else:
                self.rest()
                return code
        raise AssertionError(f"does not end: {self}")

    def errors(self) -> str:
        """What was written to standard error so far."""
        if self._stderr.closed:
            return ""
        self._stderr.seek(0)
        return self._stderr.read()

    def end(self) -> None:
        """End it, whatever state it is in: nothing of it stays behind."""
        self.kill()
        self._reader.join(DEADLINE)
        assert self.process.stdout is not None
        self.process.stdout.close()
        if self.process.stdin is not None:
            self.process.stdin.close()
        self._stderr.close()

    def __repr__(self) -> str:
        printed = "\n".join(self.lines)
        return f"{self.name}\n--- printed\n{printed}\n--- standard error\n{self.errors()}"


class Scripts:
    """The scripts of one test."""

    def __init__(self, folder: Path, cwd: Path) -> None:
        self._folder = folder
        self._cwd = cwd
        self._running: list[Script] = []

    def start(self, name: str, *arguments: object, asks: bool = False) -> Script:
        script = Script(self._folder / name, map(str, arguments), self._cwd, asks=asks)
        self._running.append(script)
        return script

    def end(self) -> None:
        for script in self._running:
            script.end()


@contextmanager
def scripts(folder: Path, cwd: Path) -> Iterator[Scripts]:
    """Start scripts from ``folder``, in the working directory ``cwd``; all end with the block."""
    started = Scripts(folder, cwd)
    try:
        yield started
    finally:
        started.end()
