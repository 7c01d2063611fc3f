"""Tells the files of the repository from those that its reader has put into the clone.

A reader who tries the examples of the README saves them in the clone. Their style is not checked.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def scripts_of_the_reader(root: Path = ROOT) -> list[str]:
    """Return absolute paths of Python files that Git neither tracks nor ignores.

    Outside a clone there are none.
    """
    return [str(root / name) for name in _listing(root, "*.py", others=True) or ()]


def files(*patterns: str, root: Path = ROOT) -> list[str]:
    """Return the matching files that Git tracks; outside a clone, all that are not hidden."""
    listing = _listing(root, *patterns)
    if listing is not None:
        return listing
    found = {path.relative_to(root) for pattern in patterns for path in root.rglob(pattern)}
    return sorted(str(path) for path in found if not any(part[0] == "." for part in path.parts))


def _listing(root: Path, *patterns: str, others: bool = False) -> list[str] | None:
    """List files that Git tracks, or ``others`` that it does not ignore; None outside a clone."""
    options = ("--others", "--exclude-standard") if others else ()
    command = ["git", "-C", str(root), "ls-files", "-z", *options, "--", *patterns]
    try:
        listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return [name for name in listing.split("\0") if (root / name).is_file()]
