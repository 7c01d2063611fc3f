"""Finds the Pythons of this machine that snakeMQ supports."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess

#: The Python of the operating system, which its distribution builds and patches in its own way.
OF_THE_SYSTEM = "/usr/bin/python3"


def installed() -> list[str]:
    """Return the versions from 3.11 up that run as ``python3.X`` from the PATH, oldest first."""
    _show_all_of_pyenv()
    versions = (f"3.{minor}" for minor in range(11, 30))
    return [version for version in versions if is_supported(f"python{version}")]


def is_supported(python: str) -> bool:
    """Tell whether this program exists and is a Python that snakeMQ supports."""
    path = shutil.which(python)
    if path is None:
        return False
    # pyenv has stand-ins that fail, for versions that are not selected.
    code = "import sys; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([path, "-c", code], capture_output=True).returncode == 0


def version(python: str) -> str:
    """Return the version of this program, which is a Python, as in ``3.11``."""
    code = "import sys; print(*sys.version_info[:2], sep='.')"
    return subprocess.run([python, "-c", code], capture_output=True, text=True).stdout.strip()


def is_debian() -> bool:
    """Tell whether this machine runs Debian."""
    try:
        return platform.freedesktop_os_release()["ID"] == "debian"
    except OSError:
        return False


def _show_all_of_pyenv() -> None:
    """Let pyenv show all versions that we support; by default it shows only one."""
    if "PYENV_VERSION" in os.environ or shutil.which("pyenv") is None:
        return
    listing = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True)
    versions = re.findall(r"^3\.(\d+)\.(\d+)$", listing.stdout, re.MULTILINE)
    supported = sorted((int(minor), int(patch)) for minor, patch in versions if int(minor) >= 11)
    if supported:
        os.environ["PYENV_VERSION"] = ":".join(f"3.{minor}.{patch}" for minor, patch in supported)
