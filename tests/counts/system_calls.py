"""The system calls of a script, counted between its marks."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.processes import Script

SCRIPTS = Path(__file__).parent / "scripts"

MARK = "getppid"

OF_THE_MACHINE = (
    # How threads take turns depends on the machine and on what else it does, and so do the
    # interpreter's own dealings with memory. Clocks cost no call where the system can help it.
    "futex,sched_yield,clone,clone3,rseq,set_robust_list,exit,rt_sigprocmask,rt_sigaction,"
    "restart_syscall,mmap,munmap,mremap,mprotect,brk,madvise,clock_gettime,gettimeofday"
)

_CALL = re.compile(r"^\d+ +([\d.]+) (\w+)\(")


class Calls(NamedTuple):
    names: Counter[str]
    """How often each was called."""
    seconds: float
    """How long it took under strace, which bounds what comes by time."""


class Traced:
    """A script under strace."""

    def __init__(self, folder: Path, name: str, *arguments: object) -> None:
        strace = shutil.which("strace")
        if strace is None:
            missing = "strace is not installed (apt-get install strace)"
            if os.environ.get("CI"):
                pytest.fail(missing)
            pytest.skip(missing)
        self._trace = folder / f"{name}.{len(list(folder.iterdir()))}"
        self.script = Script(
            SCRIPTS / name,
            [str(argument) for argument in arguments],
            folder,
            under=(
                strace,
                "-f",
                "-qq",
                "-ttt",
                "-o",
                str(self._trace),
                f"-etrace=!{OF_THE_MACHINE}",
            ),
        )

    def calls(self) -> Calls:
        """Wait for the end, and return what was called between the first mark and the last."""
        assert self.script.wait() == 0, self.script
        lines = self._trace.read_text().splitlines()
        calls = [match.groups() for line in lines if (match := _CALL.match(line))]
        marks = [number for number, (_, name) in enumerate(calls) if name == MARK]
        assert len(marks) > 1, f"too few marks: {self.script}"
        begin, end = marks[0], marks[-1]
        names = Counter(name for _, name in calls[begin + 1 : end])
        return Calls(names, float(calls[end][0]) - float(calls[begin][0]))
