"""Content of a back end that is not a message."""

from __future__ import annotations

from typing import Any


class UnreadableItem(ValueError):
    """Raised for a row or a document that is not a message. The text says why.

    It does not reach the user: the storage sets the item aside and reports it to its logger.
    """


def sql_type(value: Any) -> str:
    """Return SQL's name for the type of a value, for the text of an error."""
    names: dict[type, str] = {type(None): "NULL", bytes: "BLOB", int: "INTEGER", float: "REAL"}
    return names.get(type(value), type(value).__name__.upper())
