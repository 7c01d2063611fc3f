"""Files in which a process writes what it has done, a line at a time.

A line is one write to a file in append mode: when it returns, the system has it, and kill -9 cannot
take it back. (A power cut could; this is about processes.)
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


class Journal:
    """What the writing process has of a journal."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


def read(path: Path) -> Iterator[list[str]]:
    """Read the lines, each cut into words."""
    if path.exists():
        for line in path.read_text().splitlines():
            yield line.split()
