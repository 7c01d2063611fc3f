"""When and where a run took place."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ..peers import Peer


def facts(peers: Mapping[str, Peer], cpus: Sequence[int]) -> dict[str, str]:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{processor()}, {os.cpu_count()} CPUs, {memory()}",
        "system": f"{platform.system()} {platform.release()}, {filesystem()}",
        "Python": platform.python_version(),
        "pinned to": f"CPUs {', '.join(map(str, cpus))}" if cpus else "no CPU",
        "load before": load(),
        "versions": "; ".join(
            peer.version for peer in peers.values() if not peer.obstacle and peer.distributions
        ),
    }


def load() -> str:
    """How many processes wanted to run in the last minute, also others; 0 where nobody tells."""
    return f"{os.getloadavg()[0] if hasattr(os, 'getloadavg') else 0:.2f}"


def processor() -> str:
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory() -> str:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemTotal"):
            return f"{int(line.split()[1]) >> 20} GiB"
    return "memory unknown"


def filesystem() -> str:
    """What the temporary folder is on, where durable messages lie: tmpfs would not be a disk."""
    folder = Path(tempfile.gettempdir()).resolve()
    kinds = {}
    for line in _lines("/proc/mounts"):
        _, mount, kind, *_ = line.split()
        if folder.is_relative_to(mount):
            kinds[len(mount)] = kind
    return f"temporary files on {kinds[max(kinds)]}" if kinds else "file system unknown"


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
