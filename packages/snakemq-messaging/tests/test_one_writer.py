"""Each record of a connection is written by one wing, and flags of a queue by one file."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from snakemq import messaging
from snakemq.messaging._incoming._lane import IncomingLane, Tally
from snakemq.messaging._outgoing._lane import OutgoingLane
from snakemq.messaging._peers._connection import Connection
from snakemq.messaging._wire._conversation import Conversation

PACKAGE = Path(messaging.__file__).parent
WRITERS: list[tuple[type, tuple[str, ...]]] = [
    (Conversation, ("_wire", "_peers")),
    (OutgoingLane, ("_outgoing",)),
    (IncomingLane, ("_incoming",)),
    (Tally, ("_incoming",)),
    (Connection, ("_peers",)),
]
ELSEWHERE = {
    "acked",
    "acks",
    "counters",
    "deliveries",
    "ident",
    "inbox",
    "queue",
    "conversation",
    "sent",
}
"""Names that attributes of other objects have, too."""


def assigned(file: Path, *, of_self: bool = True) -> set[str]:
    """The names of attributes that a file assigns to; ``of_self``: those of ``self``, too."""
    return {
        node.attr
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, (ast.Store, ast.Del))
        and (of_self or ast.unparse(node.value) != "self")
    }


def written(name: str) -> set[str]:
    """The wings in which something is assigned to an attribute of that name."""
    return {
        file.relative_to(PACKAGE).parts[0]
        for file in PACKAGE.rglob("*.py")
        if name in assigned(file)
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


@pytest.mark.parametrize(
    ("name", "writer"),
    [
        ("has_stored", "_queue"),
        ("in_flight_bytes", "_queue"),
        ("is_announced", "_outbox"),
        ("is_forgotten", "_table"),
    ],
)
def test_an_attribute_of_a_queue_is_written_by_one_file(name: str, writer: str) -> None:
    files = {
        file.stem
        for file in (PACKAGE / "_outgoing").rglob("*.py")
        if name in assigned(file, of_self=writer == "_queue")
    }
    assert files == {writer}
