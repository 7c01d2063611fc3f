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
"""Options of a client of ours: how long a call may take when the server is away, or says nothing.
The storage itself repeats what fails with a lost connection; a client that does so waits for a
silent server once more."""


def make_client(host: str, port: int, options: dict[str, Any]) -> MongoClient[Document]:
    # What the URI says counts more than our defaults, what the caller says more than the URI.
    lower = host.lower()
    given = {name for name in DEFAULTS if f"{name.lower()}=" in lower}
    defaults = {name: value for name, value in DEFAULTS.items() if name not in given}
    return MongoClient(host, port, **(defaults | options))


def durable(concern: WriteConcern) -> WriteConcern:
    """The client's own number of members if it says one, and the journal in any case."""
    members = concern.document.get("w", "majority")
    if members == 0:
        raise ValueError("w=0 gives messages away without knowing whether they arrive")
    return WriteConcern(w=members, j=True, wtimeout=concern.document.get("wtimeout"))
