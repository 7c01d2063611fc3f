"""Where in the program of the user something happens."""

from __future__ import annotations

import sys
from types import FrameType


def place_of_caller() -> str:
    """Return the file and the line outside of snakemq that is being executed."""
    # What inspect.currentframe() is; importing that takes 4 ms.
    frame: FrameType | None = sys._getframe()  # noqa: SLF001
    while frame is not None and frame.f_globals.get("__name__", "").startswith("snakemq."):
        frame = frame.f_back
    return "somewhere" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
