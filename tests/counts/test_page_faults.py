"""Page faults for each large packet: how often the system has to find memory for it."""

from __future__ import annotations

import mmap
import platform
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "scripts" / "large_packets.py"
KIB = 1024

pytestmark = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries keep memory by other rules"
)


def faults(mode: str, size: int) -> float:
    """Page faults for each packet, in a process of its own."""
    command = [sys.executable, str(SCRIPT), mode, str(size)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


@pytest.mark.parametrize("size", [256 * KIB, 512 * KIB, 1024 * KIB])
def test_keep_freed_memory_saves_the_page_faults_of_large_packets(size: int) -> None:
    """Without it each page of a packet is a fault. If that changes, nobody needs it any more."""
    pages = size / mmap.PAGESIZE
    assert faults("leave", size) > pages / 2
    assert faults("keep", size) < 1
