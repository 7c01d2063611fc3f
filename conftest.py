"""Lets the tests of each package import the modules that lie beside them."""

from __future__ import annotations

import sys
from pathlib import Path

# pytest's `pythonpath` takes no patterns, and a list of the packages would be a second one.
sys.path.extend(map(str, sorted(Path(__file__).parent.glob("packages/*/tests"))))
