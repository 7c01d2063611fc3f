"""Lets ``pip install .`` install the packages of this clone. Hatchling calls it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

sys.path.insert(0, str(Path(__file__).parent))

from tools import clone


class CloneMetadataHook(MetadataHookInterface):
    """Makes the packages dependencies, which are found in their folders."""

    def update(self, metadata: dict[str, Any]) -> None:
        metadata["dependencies"] = clone.dependencies()
        metadata["optional-dependencies"] = clone.extras()
