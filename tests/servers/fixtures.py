"""Context managers that pytest fixtures are made of."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pytest

from ._server import Server, ServerNotFound

AnyServer = TypeVar("AnyServer", bound=Server)

MEMORY_NEEDED = 2 << 30
"""Bytes of memory that several servers need at once."""


@contextmanager
def started(kind: Callable[[], AnyServer]) -> Iterator[AnyServer]:
    """Run a server. If it is not installed, the test is skipped; in CI it fails."""
    # These servers are killed, but no test cuts the power: memory is as good as a disk.
    if os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > MEMORY_NEEDED:
        Server.place = "/dev/shm"
    try:
        server = kind()
    except ServerNotFound as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    with server:
        yield server


class SmallDisk:
    """A file system of 300 megabytes, in memory."""

    LEFT = 3 << 20

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Fill the disk up to the last three megabytes."""
        with open(self._ballast, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(self.folder).free - self.LEFT)

    def free(self) -> None:
        self._ballast.unlink()


@contextmanager
def small_disk() -> Iterator[SmallDisk]:
    """Mount a small disk. If that is not possible, the test is skipped."""
    folder = Path(tempfile.mkdtemp(prefix="small-disk-"))  # every account can reach it
    folder.chmod(0o755)
    mount = ["mount", "-t", "tmpfs", "-o", "size=300m,mode=755", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("mounting a small file system needs Linux and root")
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


@contextmanager
def started_on(disk: SmallDisk, kind: type[Server]) -> Iterator[Server]:
    """Run a server that has its data on that disk."""

    class OnThatDisk(kind):  # type: ignore[misc, valid-type]
        place = str(disk.folder)

    with started(OnThatDisk) as server:
        yield server
