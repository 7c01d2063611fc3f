"""The system calls of a script, counted between its marks."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.processes import Script

SCRIPTS = Path(__file__).parent / "scripts"

MARK = "getppid"

OF_THE_MACHINE = (
    # How threads take turns depends on the machine and on what else it does, and so do the
    # interpreter's own dealings with memory. Clocks cost no call where the system can help it.
    "futex,sched_yield,clone,clone3,rseq,set_robust_list,exit,rt_sigprocmask,rt_sigaction,"
    "restart_syscall,mmap,munmap,mremap,mprotect,brk,madvise,clock_gettime,gettimeofday"
)

_CALL = re.compile(r"^\d+ +(\w+)\(")


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
            under=(strace, "-f", "-qq", "-o", str(self._trace), f"-etrace=!{OF_THE_MACHINE}"),
        )

    def calls(self) -> Counter[str]:
        """Wait for the end; what was called between the first mark and the last one."""
        assert self.script.wait() == 0, self.script
        names = [
            match[1]
            for line in self._trace.read_text().splitlines()
            if (match := _CALL.match(line))
        ]
        begin = names.index(MARK)
        end = len(names) - names[::-1].index(MARK) - 1
        assert begin < end, f"one mark only: {self.script}"
        return Counter(names[begin + 1 : end])
