"""Gets Pythons that are newer than any of this machine's, from Debian's unstable branch.

They live in a Debian of their own, in a folder that is made once per machine; delete it to get
newer ones. Each command in it has its own mounts and processes, which the kernel removes when the
command ends or is killed. So there is nothing to undo, and any number may run at the same time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tools.pythons import is_debian

VERSIONS = ("3.14", "3.15")
CACHE = Path("/var/cache/snakemq-pythons")

#: The path at which a command sees its working folder.
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
exit 0 # without this, the shell would become the command, and not reap what that leaves behind
"""


class CannotBeHad(Exception):
    """Raised when the Debian cannot be made here; the message says why."""


def should_be_had() -> bool:
    """Tell whether :func:`debian` should work here, which takes root on Debian."""
    return is_debian() and os.geteuid() == 0


def debian(cache: Path = CACHE) -> Path:
    """Return the folder of the Debian. The first call makes it, which takes 30 s and 300 MB.

    Other processes that call this in the meantime wait. Raises :exc:`CannotBeHad`.
    """
    import fcntl  # Windows does not have it, and nothing calls this there

    _run(*UNSHARE, "true")
    root = cache / f"with-{'-'.join(VERSIONS)}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not root.exists():
            half_made = cache / "half-made"
            if half_made.exists():  # a process that made it was killed
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
    # debootstrap keeps the lock even if this process is killed first.
    _run(*UNSHARE, "debootstrap", *options, "sid", str(root), mirrors[0], lock=lock)
    for archive in root.glob("var/cache/apt/archives/*.deb"):
        archive.unlink()


def _run(*command: str, lock: int | None = None) -> str:
    """Run a command, which inherits the lock, and return its output."""
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
    """Return the command that runs ``command`` in the Debian ``root``.

    It starts in the folder ``work``, which it sees as :data:`WORK` and has as its home. Its
    ``/tmp`` is empty, and it has none of our environment variables.
    """
    return [*UNSHARE, "sh", "-c", MOUNT_AND_RUN, "sh", str(root), str(work), *command]
