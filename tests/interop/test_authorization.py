"""A policy decides about the messages and calls of a genuine 1.6 peer."""

from __future__ import annotations

import pytest

from snakemq.policy import Allow, Rules

from .conftest import OURS, THEIRS
from .test_rpc import RpcPair, rpc, unconnected

__all__ = ["rpc", "unconnected"]  # fixtures

RULES = Rules([Allow(THEIRS, call=["service.echo", "service.note"])])


def rule(rpc: RpcPair, rules: Rules) -> None:
    rpc.ours.in_loop(lambda: setattr(rpc.ours.messaging, "policy", rules))


@pytest.fixture
def ruled(rpc: RpcPair) -> RpcPair:
    rule(rpc, RULES)
    return rpc


def refused(rpc: RpcPair) -> int:
    return rpc.ours.messaging.stats().peers[THEIRS].refused


def test_call_of_1_6_that_is_allowed_is_made(ruled: RpcPair) -> None:
    outcome = ruled.theirs.call(OURS, "echo", "(1, 'two')", kwargs="{'three': 3}")
    assert outcome["value"] == repr(((1, "two"), {"three": 3}))
    ruled.theirs.do("signal", ident=OURS, method="note", args="('noted',)")
    ruled.service.until(lambda: ruled.service.signals)
    assert refused(ruled) == 0
    ruled.pair.assert_undisturbed()


def test_call_of_1_6_that_is_denied_raises_there(ruled: RpcPair) -> None:
    outcome = ruled.theirs.call(OURS, "give", "('6 * 7',)")
    assert (outcome["type"], outcome["text"]) == ("snakemq.rpc.Error", "not allowed: service.give")
    assert refused(ruled) == 1
    ruled.pair.assert_undisturbed()


def test_object_that_1_6_may_not_use_looks_like_a_missing_one(ruled: RpcPair) -> None:
    ruled.server.register_object(ruled.service, "secret")
    there = ruled.theirs.call(OURS, "echo", name="secret")
    missing = ruled.theirs.call(OURS, "echo", name="missing")
    assert (there["type"], there["text"]) == ("snakemq.rpc.NoInstanceError", "secret")
    assert (missing["type"], missing["text"]) == ("snakemq.rpc.NoInstanceError", "missing")
    assert there["remote_traceback"] == missing["remote_traceback"]
    ruled.pair.assert_undisturbed()


def test_signal_and_message_of_1_6_that_are_denied_reach_nobody(ruled: RpcPair) -> None:
    rule(ruled, Rules([Allow(THEIRS, call="service.echo")]))
    ruled.theirs.do("signal", ident=OURS, method="note", args="('noted',)")
    ruled.theirs.do("send", ident=OURS, sizes=[1000])
    assert ruled.theirs.call(OURS, "echo", "(1,)")["value"] == repr(((1,), {}))
    assert refused(ruled) == 2
    assert ruled.service.signals == []
    assert ruled.ours.received == []
    ruled.pair.assert_undisturbed()


def test_reply_of_1_6_comes_through_although_it_may_send_nothing(ruled: RpcPair) -> None:
    rule(ruled, Rules())
    assert ruled.method("repr")(7) == "7"
    assert refused(ruled) == 0
    ruled.pair.assert_undisturbed()
