"""The client of a storage, and how durable its writes are."""

from __future__ import annotations

from typing import Any

from pymongo import MongoClient
from pymongo.write_concern import WriteConcern

from ._documents import Document

DEFAULTS: dict[str, Any] = {
    "serverSelectionTimeoutMS": 1000,
    "connectTimeoutMS": 5000,
    "socketTimeoutMS": 10_000,
    "retryReads": False,
    "retryWrites": False,
}
"""Options of our own client: how long a call may take if the server is away or says nothing. The
storage itself repeats what fails with a lost connection; a client that repeated it would wait for a
silent server twice."""


def make_client(host: str, port: int, options: dict[str, Any]) -> MongoClient[Document]:
    # The URI overrides our defaults, and the caller's options override the URI.
    lower = host.lower()
    given = {name for name in DEFAULTS if f"{name.lower()}=" in lower}
    defaults = {name: value for name, value in DEFAULTS.items() if name not in given}
    return MongoClient(host, port, **(defaults | options))


def durable(concern: WriteConcern) -> WriteConcern:
    """Return a write concern with the journal, and the client's own ``w`` or else the majority.

    Raises ``ValueError`` for ``w=0``.
    """
    members = concern.document.get("w", "majority")
    if members == 0:
        raise ValueError("w=0 sends messages without knowing whether they arrive")
    return WriteConcern(w=members, j=True, wtimeout=concern.document.get("wtimeout"))
