"""The Pythons of this machine that snakeMQ supports."""

from __future__ import annotations

import os
import re
import shutil
import subprocess


def installed() -> list[str]:
    """Versions from 3.11 up, oldest first, whose ``python3.X`` is on the PATH and runs."""
    _show_all_of_pyenv()
    return [version for version in (f"3.{minor}" for minor in range(11, 30)) if _runs(version)]


def _runs(version: str) -> bool:
    path = shutil.which(f"python{version}")
    if path is None:
        return False
    # pyenv has stand-ins for versions that are switched off; they fail.
    return subprocess.run([path, "-c", ""], capture_output=True).returncode == 0


def _show_all_of_pyenv() -> None:
    """pyenv shows one version at a time, unless it is told which ones to show."""
    if "PYENV_VERSION" in os.environ or shutil.which("pyenv") is None:
        return
    listing = subprocess.run(["pyenv", "versions", "--bare"], capture_output=True, text=True)
    versions = re.findall(r"^3\.(\d+)\.(\d+)$", listing.stdout, re.MULTILINE)
    supported = sorted((int(minor), int(patch)) for minor, patch in versions if int(minor) >= 11)
    if supported:
        os.environ["PYENV_VERSION"] = ":".join(f"3.{minor}.{patch}" for minor, patch in supported)
