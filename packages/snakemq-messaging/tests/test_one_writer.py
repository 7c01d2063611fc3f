"""Each record of a connection is written by one wing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from snakemq import messaging
from snakemq.messaging._incoming._lane import IncomingLane, Receipts
from snakemq.messaging._outgoing._lane import OutgoingLane
from snakemq.messaging._peers._connection import Connection
from snakemq.messaging._wire._conversation import Conversation

PACKAGE = Path(messaging.__file__).parent
WRITERS: list[tuple[type, tuple[str, ...]]] = [
    (Conversation, ("_wire", "_peers")),
    (OutgoingLane, ("_outgoing",)),
    (IncomingLane, ("_incoming",)),
    (Receipts, ("_incoming",)),
    (Connection, ("_peers",)),
]
ELSEWHERE = {
    "acked",
    "acks",
    "counters",
    "deliveries",
    "queue",
    "ident",
    "conversation",
    "sent",
} | {"inbox"}
"""Names that attributes of other objects have, too."""


def written(name: str) -> set[str]:
    """The wings in which something is assigned to an attribute of that name."""
    return {
        file.relative_to(PACKAGE).parts[0]
        for file in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr == name
        and isinstance(node.ctx, (ast.Store, ast.Del))
    }


@pytest.mark.parametrize(
    ("name", "wings"),
    [
        (name, wings)
        for record, wings in WRITERS
        for name in record.__slots__  # type: ignore[attr-defined]
        if name not in ELSEWHERE
    ],
)
def test_a_record_of_a_connection_is_written_by_one_wing(name: str, wings: tuple[str, ...]) -> None:
    assert written(name) <= set(wings)
    assert written(name)
