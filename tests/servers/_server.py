from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from glob import glob
from pathlib import Path

PATIENCE = 60.0
"""Seconds that a server may take to start or to stop. Usually it is one."""

_running: set[Server] = set()
"""The servers that were started, and that nobody has ended."""


class ServerNotFound(Exception):
    """The server is not installed. The text says how to get it."""


class Server(ABC):
    """A server. ``with`` starts it, and removes it at the end."""

    name: str
    quit_signal = signal.SIGTERM
    crash_signal = signal.SIGKILL
    account: str | None = None
    """The account whose rights the server gets if root starts it."""
    place: str | None = None
    """Where its folder is made; ``None``: in the system's folder for temporary files."""

    def __init__(self) -> None:
        self.find()
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir=self.place))
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        account = self.account_if_root()
        if account is not None:
            shutil.chown(self.folder, account)
        try:
            self.set_up()
        except BaseException:
            self.remove()
            raise

    @abstractmethod
    def find(self) -> None:
        """Find the executables. Raises :exc:`ServerNotFound`."""

    @abstractmethod
    def set_up(self) -> None:
        """Write an empty database into the folder."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command that starts the server in the foreground."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Return whether the server accepts connections."""

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL by which a storage reaches the server."""

    def start(self) -> None:
        """Start the server with the data that it has, and return when it accepts connections."""
        deadline = time.monotonic() + PATIENCE
        _running.discard(self)  # if it has ended by itself
        self.process = self.launch(self.command())
        while not self.is_ready():
            if self.process.poll() is not None:
                # The remains of a killed server may be in the way for a moment.
                self.process = self.launch(self.command())
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.name} does not start:\n{self.log()}")
            time.sleep(0.02)
        _running.add(self)

    def stop(self) -> None:
        """Stop the server as an administrator does."""
        self._end(self.quit_signal)

    def crash(self) -> None:
        """Kill the server, so that it cannot write anything down."""
        self._end(self.crash_signal)

    def suspend(self) -> None:
        """Suspend the server's processes; its connections stay."""
        for pid in self.pids():
            os.kill(pid, signal.SIGSTOP)
        for pid in self.pids():  # until then they may still answer
            while _state(pid) not in "TtZ":
                time.sleep(0.001)

    def resume(self) -> None:
        for pid in self.pids():
            os.kill(pid, signal.SIGCONT)

    def pids(self) -> list[int]:
        assert self.process is not None
        return [self.process.pid]

    def remove(self) -> None:
        if self.process is not None:
            self._end(self.quit_signal)  # a killed PostgreSQL leaves its shared memory behind
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def launch(self, command: list[str]) -> subprocess.Popen[bytes]:
        with open(self.folder / "log", "ab") as log:
            return subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, user=self.account_if_root()
            )

    def run(self, command: list[str]) -> None:
        process = self.launch(command)
        if process.wait(PATIENCE):
            raise RuntimeError(self.log())

    def log(self) -> str:
        """Return the end of what the server has written."""
        return (self.folder / "log").read_text(errors="replace")[-5000:]

    def account_if_root(self) -> str | None:
        return self.account if hasattr(os, "geteuid") and os.geteuid() == 0 else None

    def _end(self, number: int) -> None:
        assert self.process is not None
        _running.discard(self)
        if self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(PATIENCE)


def ended_by_themselves() -> list[tuple[str, str]]:
    """Return a title and the end of the log of each server that ended, but that nobody has ended.

    A status below 0 is a signal: -6 and -11 are the server's own crashes, and -9 usually means that
    the kernel had no memory left.
    """
    return [
        (f"{server.name} has ended by itself, status {status}", server.log())
        for server in _running
        if server.process is not None and (status := server.process.poll()) is not None
    ]


def executable(name: str, *elsewhere: str) -> str | None:
    """Find an executable on the path, or in the newest folder that matches a pattern."""
    found = shutil.which(name)
    if found:
        return found
    for pattern in elsewhere:
        for folder in sorted(glob(pattern), reverse=True):
            if os.access(f"{folder}/{name}", os.X_OK):
                return f"{folder}/{name}"
    return None


def _state(pid: int) -> str:
    """Return the state of a process on Linux, such as T for stopped; elsewhere always T."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "T"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
