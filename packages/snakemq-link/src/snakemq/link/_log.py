"""Logs whose lines nobody can forge."""

from __future__ import annotations

import logging

from snakemq.exceptions._text import printable


class _Printable(logging.Filter):
    """Escapes control characters in the message of a record, and in the text of its exceptions.

    Peers choose idents, names of methods and texts of exceptions. All of them pass this one place,
    whatever is logged and however it is formatted.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            text = record.getMessage()
            if not text.isprintable():
                record.msg, record.args = printable(text), None
            if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
                _tame(record, record.exc_info[1])
        except Exception:
            # Something cannot be made text. The handler will meet the same error, and handles it.
            return True
        return True


def _tame(record: logging.LogRecord, exc: BaseException) -> None:
    """Set the text of the traceback, escaped, if exceptions would add lines of their own to it."""
    quoted: list[str] = []
    for one in _family(exc):
        quoted += [str(one), *map(str, getattr(one, "__notes__", ()))]
    quoted = [text for text in quoted if not text.isprintable()]
    if not quoted:
        return
    import traceback  # takes 5 ms, and is rarely needed

    lines = "".join(traceback.format_exception(exc)).rstrip("\n")
    for text in sorted(quoted, key=len, reverse=True):
        lines = lines.replace(text, printable(text))
    # In a group each line of a text is indented, so it was not found as a whole.
    record.exc_text = "\n".join(map(printable, lines.split("\n")))


def _family(exc: BaseException) -> list[BaseException]:
    """Return the exception and all that are shown with it."""
    found: list[BaseException] = []
    seen: set[int] = set()
    left: list[BaseException | None] = [exc]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        found.append(one)
        left += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            left += one.exceptions
    return found


_filter = _Printable()


def keep_printable(*names: str) -> None:
    """Have the loggers with these names write printable characters only. Idempotent.

    Each layer of snakeMQ calls it for its own logger, which inherits no filters from its parent.
    """
    for name in names:
        logging.getLogger(name).addFilter(_filter)
