"""The files that belong to the repository, and not to its reader.

Somebody who tries the examples of the README saves them in the clone. Their style is not checked.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def python_files(root: Path = ROOT) -> list[str]:
    """Python files that Git tracks; the whole folder if it is not a clone."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--", "*.py", "*pyproject.toml"]
    try:
        listing = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ["."]
    return [name for name in listing.split("\0") if (root / name).is_file()]
