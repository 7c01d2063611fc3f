"""Pythons that are newer than any of this machine's: those of Debian's unstable branch.

They live in a Debian of their own, a folder that is made once a machine; delete it for newer ones.
Each command in it has mounts and processes of its own, which the kernel removes when the command
ends or is killed, so nothing needs to be undone and any number of them may run at the same time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tools.pythons import is_debian

VERSIONS = ("3.14", "3.15")
CACHE = Path("/var/cache/snakemq-pythons")

#: Where a command finds the folder that it works in.
WORK = Path("/mnt")

UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
MOUNT_AND_RUN = """
set -e
root=$1 work=$2
shift 2
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mount --bind "$work" "$root/mnt"
chroot "$root" /usr/bin/env --chdir=/mnt -i PATH=/usr/sbin:/usr/bin HOME=/mnt "$@"
exit 0 # so that this shell does not become the command: it reaps what the command leaves behind
"""


class CannotBeHad(Exception):
    """The Debian cannot be made here; the message says why."""


def should_be_had() -> bool:
    """Whether :func:`debian` ought to work on this machine: root on Debian."""
    return is_debian() and os.geteuid() == 0


def debian(cache: Path = CACHE) -> Path:
    """The folder of that Debian. The first call makes it, which takes 30 s and 300 MB.

    Other processes that call this meanwhile wait. Raises :exc:`CannotBeHad`.
    """
    import fcntl  # there is none on Windows, where nobody calls this

    _run(*UNSHARE, "true")
    root = cache / f"with-{'-'.join(VERSIONS)}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            half_made = cache / "half-made"
            if half_made.exists():  # by a process that was killed
                shutil.rmtree(half_made)
            _make(half_made, lock.fileno())
            half_made.rename(root)
    return root


def _make(root: Path, lock: int) -> None:
    if shutil.which("debootstrap") is None:
        raise CannotBeHad("debootstrap is not installed (apt-get install debootstrap)")
    _run("apt-get", "update", "-qq")
    mirrors = _run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Label: Debian").split()
    if not mirrors:
        raise CannotBeHad("apt knows no mirror of Debian")
    pythons = ",".join(f"python{version}" for version in VERSIONS)
    options = ("--variant=minbase", f"--include={pythons}")
    # It keeps the lock, should this process be killed before it.
    _run(*UNSHARE, "debootstrap", *options, "sid", str(root), mirrors[0], lock=lock)
    for archive in root.glob("var/cache/apt/archives/*.deb"):
        archive.unlink()


def _run(*command: str, lock: int | None = None) -> str:
    """Run a command, which inherits the lock; returns what it wrote."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        pass_fds=() if lock is None else (lock,),
    )
    if done.returncode:
        raise CannotBeHad(f"{' '.join(command)} failed: {done.stdout[-1000:]}")
    return done.stdout


def inside(root: Path, work: Path, *command: str) -> list[str]:
    """The command that runs this one in the Debian ``root``.

    It starts in the folder ``work``, which it sees as :data:`WORK` and which is its home, with an
    empty ``/tmp`` and none of our environment variables.
    """
    return [*UNSHARE, "sh", "-c", MOUNT_AND_RUN, "sh", str(root), str(work), *command]
