"""A headless Chromium, told what to do by the Chrome DevTools protocol over two pipes."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from select import select
from typing import Any

from .processes import DEADLINE

NAMES = ("chromium", "chromium-browser", "google-chrome")

FLAGS = (
    "--headless",
    "--no-sandbox",  # root needs this; the page is our own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)

_WATCH = """new Promise(resolve => {
    const look = () => (%s) ? resolve(true) : setTimeout(look, 20);
    look();
})"""


def find() -> str | None:
    """The path of a Chromium; ``None`` if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """An open page."""

    def __init__(self, commands: int, answers: int) -> None:
        """The two file descriptors of the pipes."""
        self._commands = commands
        self._answers = answers
        self._numbers = count(1)
        self._unread = b""
        self._session: str | None = None

    def open(self, url: str) -> None:
        """Load a page."""
        target = self._do("Target.createTarget", url="about:blank")["targetId"]
        attached = self._do("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        self._do("Page.navigate", url=url)  # it answers when scripts are for the new page

    def evaluate(self, script: str) -> Any:
        """Return what a script says; if that is a promise, what becomes of it."""
        answer = self._do(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_until(self, condition: str) -> None:
        """Wait until an expression is true."""
        self.evaluate(_WATCH % condition)

    def _do(self, method: str, **parameters: object) -> dict[str, Any]:
        number = next(self._numbers)
        command = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while (answer := json.loads(self._read())).get("id") != number:
            pass  # an event
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _read(self) -> bytes:
        while b"\0" not in self._unread:
            ready, _, _ = select([self._answers], [], [], DEADLINE)
            assert ready, "the browser does not answer"
            data = os.read(self._answers, 64 * 1024)
            assert data, "the browser has ended"
            self._unread += data
        answer, _, self._unread = self._unread.partition(b"\0")
        return answer


@contextmanager
def browser(path: str) -> Iterator[Page]:
    """Start a browser, and end it with the block."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        theirs_in, ours_out = map(_high, os.pipe())
        ours_in, theirs_out = map(_high, os.pipe())
        # Chromium reads commands from the descriptor 3, and writes to 4.
        run = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        flags = (*FLAGS, f"--user-data-dir={folder}/profile")
        with (Path(folder) / "log").open("w") as log:
            process = subprocess.Popen(
                ["bash", "-c", run, "browser", path, *flags, "about:blank"],
                pass_fds=(theirs_in, theirs_out),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield Page(ours_out, ours_in)
        finally:
            os.close(ours_out)
            os.close(ours_in)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with all that it has started
            process.wait(DEADLINE)


def _high(descriptor: int) -> int:
    """Move a descriptor out of the way of 3 and 4."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved
