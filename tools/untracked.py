"""The files in a clone that belong to its reader, and not to the repository.

Somebody who tries the examples of the README saves them in the clone. Their style is not checked.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def python_files(root: Path = ROOT) -> list[str]:
    """Paths of Python files that Git neither tracks nor ignores; none if this is not a clone."""
    options = ("--others", "--exclude-standard", "-z", "--", "*.py")
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "ls-files", *options], capture_output=True, text=True
        )
    except OSError:  # there is no Git
        return []
    return [str(root / name) for name in done.stdout.split("\0") if name]
