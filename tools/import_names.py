"""Imports every name in a file with lines ``module: name name ...``; ``#`` begins a comment.

This runs in the environment under test, so it imports nothing else of this repository.
"""

import importlib
import sys
from pathlib import Path

count = 0
for line in Path(sys.argv[1]).read_text().splitlines():
    if line and not line.startswith("#"):
        module, _, names = line.partition(":")
        for name in names.split():
            getattr(importlib.import_module(module), name)
            count += 1
print(f"{count} names imported")
