from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from snakemq.link import Address
from tests.support.running_stack import Stack

from .genuine import Genuine

OURS = "ours"
THEIRS = "1.6"

MakeStack = Callable[..., Stack]
MakeGenuine = Callable[..., Genuine]


@pytest.fixture(scope="session")
def python_of_1_6() -> str:
    python = os.environ.get("SNAKEMQ16_PYTHON")
    if python:
        return python
    reason = "SNAKEMQ16_PYTHON does not say where a Python with snakeMQ 1.6 is"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def make_stack() -> Iterator[MakeStack]:
    stacks: list[Stack] = []

    def make(ident: str = OURS, **options: Any) -> Stack:
        stacks.append(stack := Stack(ident, **options))
        return stack

    yield make
    for stack in stacks:
        stack.close()


@pytest.fixture
def make_genuine(python_of_1_6: str) -> Iterator[MakeGenuine]:
    peers: list[Genuine] = []

    def make(
        ident: str = THEIRS, storage: Path | None = None, python: str = python_of_1_6
    ) -> Genuine:
        peers.append(peer := Genuine(python, ident, storage))
        peer.event("ready")
        return peer

    yield make
    for peer in peers:
        peer.close()


class Pair:
    """A stack of ours and a 1.6 peer. The tests run with either of them dialling."""

    def __init__(self, ours: Stack, theirs: Genuine, we_dial: bool) -> None:
        self.ours = ours
        self.theirs = theirs
        self.we_dial = we_dial
        self.address: Address = (theirs if we_dial else ours).listen()

    def connect(self) -> Pair:
        if self.we_dial:
            self.ours.dial(self.address)
        else:
            self.theirs.dial(self.address)
        self.ours.until_connected(THEIRS)
        self.theirs.event("connected", ident=OURS)
        return self

    def assert_undisturbed(self) -> None:
        """Check that neither side has anything to complain about."""
        self.theirs.assert_undisturbed()
        assert not self.ours.problems


@pytest.fixture(params=[True, False], ids=["we-dial", "we-listen"])
def unconnected_pair(
    request: pytest.FixtureRequest, make_stack: MakeStack, make_genuine: MakeGenuine
) -> Pair:
    return Pair(make_stack(), make_genuine(), request.param)


@pytest.fixture
def pair(unconnected_pair: Pair) -> Pair:
    return unconnected_pair.connect()
