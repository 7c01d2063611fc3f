"""Code that runs in the middle of other code of the same thread, as signal handlers do."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

PATIENCE = 30.0


class Handler:
    """Runs a function at a given one of the lines that a thread executes."""

    def __init__(self, line: int, func: Callable[[], object]) -> None:
        self._left = line
        self._func = func
        self.where = ""

    def __call__(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "line" and self._left > 0:
            self._left -= 1
            if not self._left:
                sys.settrace(None)
                code = frame.f_code
                self.where = f"{os.path.basename(code.co_filename)}:{frame.f_lineno} {code.co_name}"
                self._func()
        return self


def at_each_line(
    make: Callable[[], tuple[Callable[[], object], Callable[[], object], Callable[[], object]]],
) -> Iterator[str]:
    """``make()`` returns what runs, what comes in between, and what looks at the outcome.

    Each time all is made anew. Yields where the second one came in between: at the first line that
    the first one executes, at the second one, and so on.
    """
    line = 0
    while True:
        line += 1
        outer, inner, check = make()
        where = interrupted(outer, inner, line)
        if not where:
            break
        try:
            check()
        except BaseException as exc:
            raise AssertionError(f"after an interruption at {where}") from exc
        yield where


def interrupted(outer: Callable[[], object], inner: Callable[[], object], line: int) -> str:
    """Run ``inner`` at one of the lines that ``outer`` executes. Returns where that was."""
    handler = Handler(line, inner)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            sys.settrace(handler)
            outer()
        except BaseException as exc:
            errors.append(exc)
        finally:
            sys.settrace(None)

    # In a thread of its own, so that it can be seen that it waits for itself.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), f"it waits for itself: {handler.where}"
    assert not errors, (handler.where, errors)
    return handler.where
