"""The tables of peer.md and guarantees.md that repeat what the code says."""

from __future__ import annotations

import inspect

from snakemq.messaging import DropReason
from snakemq.peer import Peer

from .pages import DOCS
from .tables import rows


def test_every_argument_of_peer_is_listed_with_its_default() -> None:
    parameters = list(inspect.signature(Peer).parameters.values())[1:]
    listed = [(name, default) for name, default, _ in rows(ARGUMENTS, "argument")]
    assert listed == [(f"`{it.name}`", f"`{it.default!r}`") for it in parameters]


def test_every_reason_for_a_drop_is_listed() -> None:
    text = (DOCS / "guarantees.md").read_text()
    listed = [(name, value) for name, value, _ in rows(text, "`DropReason`")]
    assert listed == [(f"`{reason.name}`", reason.value) for reason in DropReason]


ARGUMENTS = (DOCS / "peer.md").read_text()
