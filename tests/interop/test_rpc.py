"""Calls between 1.6 and us, in both directions."""

from __future__ import annotations

import importlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from snakemq.rpc import (
    Error,
    NoInstanceError,
    NoMethodError,
    NotConnected,
    PartialCall,
    RemoteError,
    RpcClient,
    RpcServer,
    SafePickler,
    as_signal,
)
from snakemq.rpc._errors import REMOTE_TRACEBACK_ATTR
from tests.support.running_stack import Diary

from .conftest import OURS, THEIRS, MakeGenuine, Pair

VALUES = [
    "None",
    "True",
    "[0, -1, 2**31, 2**63, -2**64, 10**100]",
    "[0.0, -1.5, 1e308, float('inf'), float('nan')]",
    "1+2j",
    "['', 'ž', '\\U0001f40d', '\\0', '\\ud800', 'long' * 100_000]",
    "[b'', bytes(range(256)), bytearray(b'mutable'), b'long' * 100_000]",
    "[[], (), {}, set(), frozenset()]",
    "{'a': [1, (2, 3)], 4: None, (5, 6): {7, 8}, frozenset({9}): [frozenset({10})]}",
    "list(range(10_000))",
    "(1, 2, 3, 4, 5)",
]

EXCEPTIONS = [
    "ValueError('text', 1)",
    "KeyError('key')",
    "OSError(2, 'no such file', 'name')",
    "UnicodeDecodeError('utf-8', b'\\xff', 0, 1, 'bad')",
    "StopIteration(5)",
    "Exception()",
]


def remote_traceback(exc: BaseException) -> str:
    text = getattr(exc, REMOTE_TRACEBACK_ATTR)
    assert isinstance(text, str)
    return text


class UserError(Exception):
    """An exception of a module that 1.6 does not have."""


class Unpicklable(Exception):
    def __reduce__(self) -> Any:
        raise TypeError("not for travelling")


class Service(Diary):
    """What we serve: the same as 1.6's ``peer16.py``."""

    def __init__(self) -> None:
        super().__init__()
        self.signals: list[object] = []
        self.blocked: list[str] = []
        self.released = threading.Event()

    def echo(self, *args: object, **kwargs: object) -> object:
        return args, kwargs

    def repr(self, value: object) -> str:
        return repr(value)

    def give(self, expression: str) -> object:
        return eval(expression)

    def fail(self, expression: str) -> None:
        raise eval(expression)

    def block(self) -> str:
        self.write(self.blocked, "blocked")
        self.released.wait(60)
        return "released"

    @as_signal
    def note(self, *args: object) -> None:
        self.write(self.signals, args)


class RpcPair:
    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.ours = pair.ours
        self.theirs = pair.theirs
        self.service = Service()
        self.server = RpcServer(self.ours.hook)
        self.server.register_object(self.service, "service")
        self.client = RpcClient(self.ours.hook)
        self.proxy: Any = self.client.get_proxy(THEIRS, "service")

    def method(self, name: str, timeout: float | None = 15) -> Any:
        """A method of 1.6's service."""
        method = getattr(self.proxy, name).clone()
        method.set_timeout(timeout)
        return method


@pytest.fixture
def unconnected(unconnected_pair: Pair) -> RpcPair:
    return RpcPair(unconnected_pair)


@pytest.fixture
def rpc(unconnected: RpcPair) -> RpcPair:
    unconnected.pair.connect()
    return unconnected


def test_plain_values_travel_from_us_to_1_6_and_back(rpc: RpcPair) -> None:
    for expression in VALUES:
        value = eval(expression)
        assert rpc.method("repr")(value) == repr(value)
        assert repr(rpc.method("give")(expression)) == repr(value)
        assert repr(rpc.method("echo")(value, key=value)) == repr(((value,), {"key": value}))
    rpc.pair.assert_undisturbed()


def test_plain_values_travel_from_1_6_to_us_and_back(rpc: RpcPair) -> None:
    for expression in VALUES:
        value = eval(expression)
        outcome = rpc.theirs.call(OURS, "repr", f"({expression},)")
        assert outcome["value"] == repr(repr(value))
        outcome = rpc.theirs.call(OURS, "give", repr((expression,)))
        assert outcome["value"] == repr(value)
        kwargs = f"{{'key': {expression}}}"
        outcome = rpc.theirs.call(OURS, "echo", f"({expression},)", kwargs=kwargs)
        assert outcome["value"] == repr(((value,), {"key": value}))
    rpc.pair.assert_undisturbed()


def test_builtin_exceptions_of_1_6_are_raised_here(rpc: RpcPair) -> None:
    for expression in EXCEPTIONS:
        expected = eval(expression)
        with pytest.raises(type(expected)) as caught:
            rpc.method("fail")(expression)
        assert type(caught.value) is type(expected)
        assert caught.value.args == expected.args
        assert str(caught.value) == str(expected)
        assert "peer16.py" in remote_traceback(caught.value)
    rpc.pair.assert_undisturbed()


def test_our_builtin_exceptions_are_raised_at_1_6(rpc: RpcPair) -> None:
    for expression in EXCEPTIONS:
        expected = eval(expression)
        outcome = rpc.theirs.call(OURS, "fail", repr((expression,)))
        assert outcome["type"] == "builtins." + type(expected).__name__
        assert outcome["text"] == str(expected)
        assert "test_rpc.py" in outcome["remote_traceback"]
    rpc.pair.assert_undisturbed()


def test_a_missing_object_or_method_of_1_6(rpc: RpcPair) -> None:
    with pytest.raises(NoMethodError, match="nothing") as no_method:
        rpc.method("nothing")()
    assert "NoMethodError" in remote_traceback(no_method.value)
    with pytest.raises(NoInstanceError, match="nobody") as no_instance:
        rpc.client.get_proxy(THEIRS, "nobody").method()
    assert "NoInstanceError" in remote_traceback(no_instance.value)
    rpc.pair.assert_undisturbed()


def test_a_missing_object_or_method_of_ours(rpc: RpcPair) -> None:
    outcome = rpc.theirs.call(OURS, "nothing")
    assert (outcome["type"], outcome["text"]) == ("snakemq.rpc.NoMethodError", "nothing")
    assert "NoMethodError" in outcome["remote_traceback"]
    outcome = rpc.theirs.call(OURS, "method", name="nobody")
    assert (outcome["type"], outcome["text"]) == ("snakemq.rpc.NoInstanceError", "nobody")
    assert "NoInstanceError" in outcome["remote_traceback"]
    rpc.pair.assert_undisturbed()


def test_an_exception_of_1_6_that_we_do_not_know_arrives_by_name(rpc: RpcPair) -> None:
    with pytest.raises(RemoteError, match="sold out") as caught:
        rpc.method("fail")("shop.OutOfStock('sold out')")
    assert caught.value.type_name == "shop.OutOfStock"
    assert "peer16.py" in remote_traceback(caught.value)
    rpc.pair.assert_undisturbed()


@pytest.fixture
def shop(rpc: RpcPair, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The user's module, known to both sides."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    module = importlib.import_module("shop")
    assert isinstance(rpc.client.pickler, SafePickler)
    assert isinstance(rpc.server.pickler, SafePickler)
    rpc.client.pickler.register(module.OutOfStock)
    rpc.server.pickler.register(module.OutOfStock)
    return module


def test_a_user_exception_that_both_sides_know_arrives_as_it_is(
    rpc: RpcPair, shop: ModuleType
) -> None:
    with pytest.raises(shop.OutOfStock, match="sold out"):
        rpc.method("fail")("shop.OutOfStock('sold out')")
    outcome = rpc.theirs.call(OURS, "fail", "(\"__import__('shop').OutOfStock('sold out')\",)")
    assert (outcome["type"], outcome["text"]) == ("shop.OutOfStock", "sold out")
    rpc.pair.assert_undisturbed()


@pytest.mark.parametrize("expression", ["UserError('sold out')", "SystemExit(3)", "Unpicklable()"])
def test_an_exception_of_ours_that_1_6_does_not_know_arrives_as_text(
    rpc: RpcPair, expression: str
) -> None:
    outcome = rpc.theirs.call(OURS, "fail", repr((expression,)))
    name, argument = expression.rstrip(")").split("(")
    assert outcome["type"] == "snakemq.rpc.Error"
    assert name in outcome["text"]
    assert argument.strip("'") in outcome["text"]
    assert "test_rpc.py" in outcome["remote_traceback"]
    rpc.pair.assert_undisturbed()


@pytest.mark.parametrize("expression", ["lambda: None", "threading.Lock()"])
def test_an_unpicklable_result_is_an_error_of_the_caller(rpc: RpcPair, expression: str) -> None:
    with pytest.raises(RemoteError, match="pickle"):
        rpc.method("give")(expression)
    outcome = rpc.theirs.call(OURS, "give", repr((expression,)))
    assert outcome["type"] == "snakemq.rpc.Error"
    assert "cannot be pickled" in outcome["text"]
    rpc.pair.assert_undisturbed()


def test_a_result_that_1_6_does_not_know_is_an_error_of_its_caller(rpc: RpcPair) -> None:
    outcome = rpc.theirs.call(OURS, "give", "(\"UserError('sold out')\",)")
    assert outcome["type"] == "snakemq.rpc.Error"
    assert "UserError" in outcome["text"]
    rpc.pair.assert_undisturbed()


def test_an_argument_of_1_6_that_we_do_not_know_ends_its_call_alone(rpc: RpcPair) -> None:
    for _ in range(3):
        outcome = rpc.theirs.call(OURS, "echo", "(shop.OutOfStock('sold out'),)")
        assert outcome["type"] == "snakemq.rpc.Error"
        assert "request refused: the class shop.OutOfStock is not registered" in outcome["text"]
        assert rpc.theirs.call(OURS, "echo", "(1,)")["value"] == "((1,), {})"
    for args in ("(shop.OutOfStock('sold out'),)", "(2,)"):
        rpc.theirs.do("signal", ident=OURS, method="note", args=args, ttl=60)
    rpc.service.until(lambda: rpc.service.signals)
    assert rpc.service.signals == [(2,)]
    rpc.pair.assert_undisturbed()


@pytest.mark.parametrize("expression", ["NotConnected('bank')", "PartialCall('bank')"])
def test_errors_of_calls_that_our_method_made_are_others_for_1_6(
    rpc: RpcPair, expression: str
) -> None:
    outcome = rpc.theirs.call(OURS, "fail", repr((expression,)))
    assert outcome["type"] == "snakemq.rpc.Error"
    assert "bank" in outcome["text"]
    with pytest.raises(RemoteError, match="bank"):
        rpc.method("fail")(f"snakemq.rpc.{expression}")
    rpc.pair.assert_undisturbed()


def test_a_call_with_a_time_out_is_answered_by_1_6(rpc: RpcPair) -> None:
    """1.6 ignores the time that a request tells."""
    assert rpc.method("echo", timeout=30)(timeout=1) == ((), {"timeout": 1})


def test_signals_both_ways(rpc: RpcPair) -> None:
    note = rpc.method("note")
    note.as_signal(10)
    assert note(1, key="value") is None
    assert rpc.theirs.event("signal")["args"] == "(1,)"
    rpc.theirs.do("signal", ident=OURS, method="note", args="(2, 'two')")
    rpc.service.until(lambda: rpc.service.signals == [(2, "two")])
    rpc.pair.assert_undisturbed()


def test_signals_wait_for_the_connection_as_long_as_their_ttl(unconnected: RpcPair) -> None:
    rpc = unconnected
    note = rpc.method("note")
    note.as_signal(0)
    note("dropped")
    note.as_signal(60)
    note("kept")
    rpc.theirs.do("signal", ident=OURS, method="note", args="('dropped',)", ttl=0)
    rpc.theirs.do("signal", ident=OURS, method="note", args="('kept',)", ttl=60)
    rpc.pair.connect()
    assert rpc.theirs.event("signal")["args"] == "('kept',)"
    rpc.service.until(lambda: rpc.service.signals)
    assert rpc.service.signals == [("kept",)]
    rpc.pair.assert_undisturbed()


def test_a_call_of_an_absent_peer_runs_out_of_time(unconnected: RpcPair) -> None:
    with pytest.raises(NotConnected):
        unconnected.method("echo", timeout=0.1)()
    outcome = unconnected.theirs.call(OURS, "echo", timeout=0.1)
    assert outcome["type"] == "snakemq.rpc.NotConnected"


def test_a_call_without_a_reply_runs_out_of_time(rpc: RpcPair) -> None:
    with pytest.raises(PartialCall):
        rpc.method("block", timeout=0.1)()
    rpc.theirs.do("release")
    outcome = rpc.theirs.call(OURS, "block", timeout=0.1)
    assert outcome["type"] == "snakemq.rpc.PartialCall"
    rpc.service.released.set()
    # The late replies find nobody, which disturbs nobody.
    assert rpc.method("echo")(1) == ((1,), {})
    assert rpc.theirs.call(OURS, "echo")["value"] == "((), {})"
    rpc.pair.assert_undisturbed()


def test_calls_begun_before_the_connection_are_made_after_it(unconnected: RpcPair) -> None:
    rpc = unconnected
    with ThreadPoolExecutor(1) as thread:
        early = thread.submit(rpc.method("echo"), "early")
        rpc.theirs.do("call", ident=OURS, method="echo", args="('early',)")
        rpc.pair.connect()
        assert early.result() == (("early",), {})
    assert rpc.theirs.event("returned")["value"] == "(('early',), {})"


def test_without_the_transfer_of_exceptions(rpc: RpcPair) -> None:
    rpc.theirs.do("transfer_exceptions", on=False)
    with pytest.raises(PartialCall):  # 1.6 just says nothing
        rpc.method("fail", timeout=0.2)("ValueError('secret')")
    rpc.ours.in_loop(lambda: setattr(rpc.server, "transfer_exceptions", False))
    outcome = rpc.theirs.call(OURS, "fail", "(\"ValueError('secret')\",)")
    assert outcome["type"] == "snakemq.rpc.Error"
    assert "secret" not in outcome["text"] + outcome["remote_traceback"]
    rpc.pair.assert_undisturbed()


def test_an_exception_that_1_6_cannot_send_is_a_time_out(rpc: RpcPair) -> None:
    with pytest.raises(PartialCall):
        rpc.method("fail", timeout=0.2)("Unpicklable()")


def test_a_call_of_1_6_that_a_reconnection_repeats_runs_once(
    rpc: RpcPair,
) -> None:
    rpc.theirs.do("call", ident=OURS, method="block")
    rpc.service.until(lambda: rpc.service.blocked)
    rpc.theirs.do("disconnect", ident=OURS)
    rpc.ours.until_connected(THEIRS, times=2)
    # Calls are handled in their order: when this one is, the repeated one has been.
    rpc.theirs.call(OURS, "echo")
    rpc.service.released.set()
    assert rpc.theirs.event("returned", value="'released'")
    assert rpc.service.blocked == ["blocked"]


def test_our_call_survives_the_death_of_the_1_6_server(
    rpc: RpcPair, make_genuine: MakeGenuine
) -> None:
    with ThreadPoolExecutor(1) as thread:
        call = thread.submit(rpc.method("block"))
        rpc.theirs.event("blocked")
        rpc.theirs.kill()
        successor = make_genuine()
        if rpc.pair.we_dial:
            successor.listen(rpc.pair.address[1])
        else:
            successor.dial(rpc.pair.address)
        successor.event("blocked")
        successor.do("release")
        assert call.result() == "released"


def test_many_calls_at_once_both_ways(rpc: RpcPair) -> None:
    for number in range(100):
        rpc.theirs.do("call", ident=OURS, method="echo", args=f"({number},)")
    with ThreadPoolExecutor(20) as threads:
        for number, value in enumerate(threads.map(rpc.method("echo"), range(100))):
            assert value == ((number,), {})
    rpc.theirs.event("returned", count=100)
    values = {event["value"] for event in rpc.theirs.outcomes()}
    assert values == {f"(({number},), {{}})" for number in range(100)}
    rpc.pair.assert_undisturbed()


def test_an_error_of_rpc_has_its_1_6_name() -> None:
    """1.6 pickles and unpickles it by that name."""
    for cls in (Error, NoInstanceError, NoMethodError, NotConnected, PartialCall):
        assert cls.__module__ == "snakemq.rpc"
