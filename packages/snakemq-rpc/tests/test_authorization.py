"""A server decides who may call what, from the names alone, before it decodes arguments."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest
from rpc_peers import PATIENCE, MakeNode, MakeRawClient, MakeRawServer, Node, in_thread, result

from snakemq.exceptions import SnakeMQBrokenMessage
from snakemq.identity import Identity
from snakemq.link.testing import MemoryNetwork
from snakemq.policy import Action, Allow, Deny, Policy, Rules
from snakemq.rpc import (
    Error,
    NoInstanceError,
    NoMethodError,
    NotAllowed,
    Pickler,
    RemoteError,
    RpcClient,
    RpcServer,
    SafePickler,
    allow,
    as_signal,
    inline,
)
from snakemq.rpc._replies._intake import NO_FRONT

ADD = Rules([Allow("client", call="calculator.add")])
OF_SHOP = Rules([Allow("client", call="shop.order")])


class Calculator:
    def __init__(self) -> None:
        self.calls: list[str] = []

    def add(self, one: float, other: float) -> float:
        self.calls.append("add")
        return one + other

    def reset(self) -> None:
        self.calls.append("reset")

    @inline
    def reset_inline(self) -> None:
        self.calls.append("reset_inline")

    @as_signal
    def note(self) -> None:
        self.calls.append("note")


class CountingPickler(SafePickler):
    """Counts what it decodes."""

    def __init__(self) -> None:
        super().__init__()
        self.decoded = 0

    def loads(self, data: bytes, /) -> Any:
        self.decoded += 1
        return super().loads(data)


class Pair:
    """A server with a calculator, and a client of ours."""

    def __init__(
        self,
        node: MakeNode,
        policy: Policy | None,
        *,
        client: str = "client",
        pickler: Pickler | None = None,
        manual_ack: bool = False,
        **options: Any,
    ) -> None:
        self.server_node: Node = node("server", policy=policy, manual_ack=manual_ack)
        self.server = RpcServer(self.server_node.hook, pickler, **options)
        self.calculator = Calculator()
        self.server.register_object(self.calculator, "calculator")
        self.client_node: Node = node(client)
        self.client = RpcClient(self.client_node.hook)
        self.client_node.connect(self.server_node)

    def call(self, target: str, *args: object) -> Any:
        name, _, method = target.rpartition(".")
        future = getattr(self.client.get_proxy("server", name), method).future(*args)
        self.client_node.until(future.done)
        return future.result()

    @property
    def refused(self) -> int:
        return self.server_node.messaging.stats().peers[self.client_node.ident].refused


def audit_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "snakemq.audit"]


@pytest.fixture(params=[0, 4], ids=["in the loop", "in threads"])
def threads(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_only_methods_that_are_allowed_can_be_called(node: MakeNode, threads: int) -> None:
    pair = Pair(node, ADD, threads=threads)
    assert pair.call("calculator.add", 1, 2) == 3
    for method in ("reset", "reset_inline", "note", "missing"):
        with pytest.raises(NotAllowed, match=f"not allowed: calculator.{method}"):
            pair.call(f"calculator.{method}")
    assert pair.calculator.calls == ["add"]
    assert pair.refused == 4
    assert pair.client_node.disconnected == []


def test_peer_without_any_right_sees_no_object(node: MakeNode, threads: int) -> None:
    pair = Pair(node, OF_SHOP, threads=threads)
    for target in ("calculator.add", "calculator.missing", "absent.add"):
        with pytest.raises(NoInstanceError) as caught:
            pair.call(target)
        assert caught.value.args == (target.partition(".")[0],)
        assert type(caught.value) is NoInstanceError
    assert pair.calculator.calls == []


def test_right_of_a_whole_object_includes_methods_that_are_missing(node: MakeNode) -> None:
    pair = Pair(node, Rules([Allow("client", call=["calculator.*", "absent.*"])]))
    with pytest.raises(NoMethodError):
        pair.call("calculator.missing")
    with pytest.raises(NoInstanceError):
        pair.call("absent.add")
    assert pair.refused == 0


def test_denial_wins(node: MakeNode) -> None:
    pair = Pair(node, Rules([Allow("*", call="*"), Deny("client", call="calculator.reset")]))
    assert pair.call("calculator.add", 1, 2) == 3
    with pytest.raises(NotAllowed):
        pair.call("calculator.reset")


def test_nothing_of_a_refused_request_is_decoded(node: MakeNode) -> None:
    pickler = CountingPickler()
    pair = Pair(node, ADD, pickler=pickler)
    for target in ("calculator.reset", "absent.add"):
        with pytest.raises((NotAllowed, NoInstanceError)):
            pair.call(target, [1, 2, 3])
    assert pickler.decoded == 0
    assert pair.call("calculator.add", 1, 2) == 3
    assert pickler.decoded > 0


def test_refused_arguments_never_run_with_a_pickler_that_trusts(
    node: MakeNode, raw_client: MakeRawClient, tmp_path: Any
) -> None:
    """Otherwise pickle would have called what they name before anything could be refused."""

    class Bomb:
        def __reduce__(self) -> Any:
            return exec, (f"open({str(tmp_path / 'boom')!r}, 'w')",)

    pair = Pair(node, ADD, client="somebody", pickler=pickle)
    client = raw_client("client")
    client.connect(pair.server_node)
    for target in ("calculator", "absent"):
        reply = client.reply_of("reset", Bomb(), object=target)
        assert reply["ok"] is False
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("ttl", [0, 60])
@pytest.mark.parametrize("target", ["calculator", "absent"])
@pytest.mark.parametrize("manual_ack", [False, True])
def test_denied_signal_is_rejected_counted_and_audited(
    node: MakeNode, caplog: pytest.LogCaptureFixture, ttl: int, target: str, manual_ack: bool
) -> None:
    pair = Pair(node, ADD, manual_ack=manual_ack)
    rejected: list[str] = []
    pair.server_node.messaging.on_message_reject.add(lambda *_: pytest.fail("it is denied"))
    pair.client_node.messaging.on_message_delivered.add(lambda *_: pytest.fail("it is denied"))
    pair.client_node.messaging.on_message_dropped.add(
        lambda _ident, _message, _reason, text: rejected.append(text)
    )
    note = pair.client.get_proxy("server", target).note
    note.as_signal(ttl)
    note()
    pair.client_node.network.advance(1)
    assert pair.calculator.calls == []
    assert rejected == ["not allowed"]
    assert pair.refused == 1
    assert pair.client_node.messaging.outstanding("server") == (0, 0)
    (line,) = audit_lines(caplog)
    assert line.startswith("refused signal: ident='client' address=")
    assert line.endswith(f"'{target}.note'")


def test_signal_to_a_missing_object_that_is_allowed_is_logged(
    node: MakeNode, caplog: pytest.LogCaptureFixture
) -> None:
    pair = Pair(node, Rules([Allow("client", call="*")]))
    note = pair.client.get_proxy("server", "absent").note
    note.as_signal(60)
    note()
    pair.client_node.network.advance(1)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "signal 'absent.note' of 'client': no such object"
    ]
    assert pair.refused == 0
    assert pair.client_node.messaging.stats().peers["server"].delivered == 1


def test_refused_calls_are_audited_without_their_arguments(
    node: MakeNode, caplog: pytest.LogCaptureFixture
) -> None:
    pair = Pair(node, ADD)
    for _ in range(3):
        with pytest.raises(NotAllowed):
            pair.call("calculator.reset", "a secret")
    (line,) = audit_lines(caplog)
    assert line.startswith("refused call: ident='client' address=")
    assert line.endswith("'calculator.reset'")


def test_policy_can_be_replaced_between_calls(node: MakeNode) -> None:
    pair = Pair(node, None)
    pair.call("calculator.reset")
    pair.server_node.messaging.policy = ADD
    with pytest.raises(NotAllowed):
        pair.call("calculator.reset")
    pair.server_node.messaging.policy = None
    pair.call("calculator.reset")
    assert pair.calculator.calls == ["reset", "reset"]


def test_calls_need_no_right_to_send_messages(node: MakeNode) -> None:
    pair = Pair(node, ADD)
    heard: list[object] = []
    pair.server_node.messaging.on_message_recv.add(lambda *args: heard.append(args))
    assert pair.call("calculator.add", 1, 2) == 3
    assert heard == []


def test_right_to_send_messages_gives_none_to_call(node: MakeNode) -> None:
    pair = Pair(node, Rules([Allow("client", message=True)]))
    with pytest.raises(NoInstanceError):
        pair.call("calculator.add", 1, 2)
    assert pair.calculator.calls == []


def test_reply_comes_through_to_a_client_that_calls(node: MakeNode) -> None:
    pair = Pair(node, None)
    pair.client_node.messaging.policy = Rules()
    assert pair.call("calculator.add", 1, 2) == 3
    assert pair.client_node.messaging.stats().peers["server"].refused == 0


def test_reply_that_no_call_waits_for_is_not_decoded(
    node: MakeNode, raw_server: MakeRawServer
) -> None:
    client_node, server = node("client", policy=Rules()), raw_server()
    pickler = CountingPickler()
    RpcClient(client_node.hook, pickler)
    RpcClient(client_node.hook, pickler)
    client_node.connect(server)
    server.send(pickle.dumps({"req_id": b"x" * 16, "ok": True, "return": 3}))
    assert pickler.decoded == 0
    assert client_node.messaging.stats().peers["server"].refused == 1
    assert client_node.errors == []


@pytest.mark.parametrize("manual_ack", [False, True])
def test_each_request_is_acknowledged(node: MakeNode, manual_ack: bool) -> None:
    server_node = node("server", policy=ADD, manual_ack=manual_ack)
    server = RpcServer(server_node.hook)
    server.register_object(Calculator(), "calculator")
    client_node = node("client", policy=Rules(), manual_ack=manual_ack)
    client = RpcClient(client_node.hook)
    client_node.connect(server_node)
    calculator = client.get_proxy("server", "calculator")
    futures = [calculator.add.future(1, 2), calculator.reset.future()]
    client_node.until(lambda: all(future.done() for future in futures))
    client_node.network.advance(1)
    assert futures[0].result() == 3
    assert isinstance(futures[1].exception(), NotAllowed)
    for one, other in ((client_node, "server"), (server_node, "client")):
        assert one.messaging.outstanding(other) == (0, 0)


# -- requests of other peers


def test_client_of_16_is_served_and_refused(node: MakeNode, raw_client: MakeRawClient) -> None:
    pair = Pair(node, ADD, client="somebody")
    client = raw_client("client")
    client.connect(pair.server_node)
    assert client.reply_of("add", 1, 2, object="calculator")["return"] == 3
    reply = client.reply_of("reset", object="calculator", req_id=b"second call.....")
    assert type(reply["exception"]) is Error  # 1.6 has no NotAllowed
    assert reply["exception"].args == ("not allowed: calculator.reset",)
    assert reply["denied"] is True
    reply = client.reply_of("add", object="absent", req_id=b"third call......")
    assert type(reply["exception"]) is NoInstanceError
    assert pair.calculator.calls == ["add"]


def request(**changes: Any) -> dict[str, Any]:
    return {
        "command": "call",
        "object": "calculator",
        "method": "add",
        "args": (1, 2),
        "kwargs": {},
        "req_id": b"0123456789abcdef",
        **changes,
    }


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_request_without_a_front_is_refused_and_answered(
    node: MakeNode, raw_client: MakeRawClient, protocol: int
) -> None:
    pair = Pair(node, ADD, client="somebody")
    client = raw_client("client")
    client.connect(pair.server_node)
    client.send(pickle.dumps(request(), protocol))
    client.until(lambda: client.replies)
    assert client.replies[0]["exception"].args == (f"request refused: {NO_FRONT}",)
    assert client.disconnected == []
    assert pair.calculator.calls == []
    pair.server_node.messaging.policy = None
    client.send(pickle.dumps(request(), protocol))
    client.until(lambda: len(client.replies) > 1)
    assert client.replies[1]["return"] == 3


def text(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode() + b"\x94"


def with_another_method(method: str) -> bytes:
    """A request whose front says "add", and whose last key another method."""
    body = pickle.dumps(request(args=()), 4)
    assert body.endswith(b"u.")
    return body[:-2] + text("method") + text(method) + b"u."


def test_request_that_says_something_else_than_its_front_is_refused(
    node: MakeNode, raw_client: MakeRawClient, caplog: pytest.LogCaptureFixture
) -> None:
    pair = Pair(node, ADD, client="somebody")
    client = raw_client("client")
    client.connect(pair.server_node)
    attack = with_another_method("reset")
    assert pickle.loads(attack)["method"] == "reset"
    client.send(attack)
    client.until(lambda: client.replies)
    (text,) = client.replies[0]["exception"].args
    assert text == "request refused: it asks for something else than its front"
    assert pair.calculator.calls == []
    (line,) = audit_lines(caplog)
    assert line.endswith("'calculator.reset, but calculator.add at its front'")
    pair.server_node.messaging.policy = None
    client.send(attack)
    client.until(lambda: len(client.replies) > 1)
    assert pair.calculator.calls == ["reset"]


def test_refused_call_that_names_no_id_ends_the_connection(
    node: MakeNode, raw_client: MakeRawClient
) -> None:
    """Without an id it cannot be answered, and its client would wait forever."""
    pair = Pair(node, ADD, client="somebody")
    client = raw_client("client")
    client.connect(pair.server_node)
    body = pickle.dumps(request(method="reset"), 4)
    client.send(body[:-2] + text("later") + text("than the id") + b"u.")
    client.until(lambda: client.disconnected)
    (error,) = pair.server_node.errors
    assert isinstance(error, SnakeMQBrokenMessage)
    assert pair.calculator.calls == []


def test_dotted_method_is_never_taken_for_one_of_another_object(
    node: MakeNode, raw_client: MakeRawClient
) -> None:
    pair = Pair(node, Rules([Allow("client", call="calculator.sub.*")]), client="somebody")
    setattr(pair.calculator, "sub.reset", pair.calculator.reset)
    client = raw_client("client")
    client.connect(pair.server_node)
    reply = client.reply_of("sub.reset", object="calculator")
    assert type(reply["exception"]) is NoInstanceError
    assert pair.calculator.calls == []


# -- what a stranger can find out


@pytest.mark.parametrize("transfer_exceptions", [False, True])
@pytest.mark.parametrize("command", ["call", "signal"])
def test_denied_and_missing_objects_are_answered_with_equal_bytes(
    node: MakeNode, raw_client: MakeRawClient, transfer_exceptions: bool, command: str
) -> None:
    pair = Pair(node, OF_SHOP, client="somebody", transfer_exceptions=transfer_exceptions)
    client = raw_client("client")
    client.connect(pair.server_node)
    answers: dict[str, list[Any]] = {}
    replies: list[bytes] = []
    client.hook.register(b"rpcrep", lambda _c, _i, message: replies.append(message.data))
    names = {"there": "calculator", "missing": "calculatox"}
    for kind, name in names.items():
        for protocol in (3, 4):
            for method in ("add", "reset", "missing", "_private", "add.x", "", "x" * 300):
                for first in (True, False):
                    replies.clear()
                    body = request(object=name, method=method, command=command)
                    if first:
                        body = {"req_id": body["req_id"], **body}
                    if command == "signal":
                        del body["req_id"]
                    client.send(pickle.dumps(body, protocol))
                    client.network.run_until_idle()
                    told = [reply.replace(name.encode(), b"NAME") for reply in replies]
                    answers.setdefault(kind, []).append(told)
    assert answers["there"] == answers["missing"]
    assert all(len(told) == (command == "call") for told in answers["there"])
    assert client.disconnected == []
    assert client.messaging.outstanding("server") == (0, 0)


def test_marks_alone_hide_an_object_from_those_they_do_not_name(node: MakeNode) -> None:
    class Secret:
        @allow("boss")
        def tell(self) -> str:
            return "the secret"

    pair = Pair(node, None)
    pair.server.register_object(Secret(), "secret")
    errors = []
    for target in ("secret.tell", "absent.tell"):
        with pytest.raises(NoInstanceError) as caught:
            pair.call(target)
        errors.append(vars(caught.value))
    assert errors[0] == errors[1]
    assert pair.call("calculator.add", 1, 2) == 3


# -- marks


class Marked:
    @allow("client", "@operators")
    def reset(self) -> str:
        return "reset"

    @allow("sensor-*")
    def measure(self) -> str:
        return "measured"

    @allow("*")
    @inline
    def ping(self) -> str:
        return "pong"

    @staticmethod
    @allow("boss")
    def static_below() -> str:
        return "static"

    @allow("boss")
    @staticmethod
    def static_above() -> str:
        return "static"

    @classmethod
    @allow("boss")
    def of_class(cls) -> str:
        return "class"

    def free(self) -> str:
        return "free"


def marked(node: MakeNode, policy: Policy | None, client: str) -> Pair:
    pair = Pair(node, policy, client=client)
    pair.server.register_object(Marked(), "marked")
    return pair


METHODS = ("reset", "measure", "ping", "static_below", "static_above", "of_class", "free")


def callable_methods(pair: Pair) -> set[str]:
    found = set()
    for method in METHODS:
        try:
            pair.call(f"marked.{method}")
        except NotAllowed:
            continue
        found.add(method)
    return found


@pytest.mark.parametrize(
    ("client", "methods"),
    [
        ("client", {"reset", "ping", "free"}),
        ("sensor-7", {"measure", "ping", "free"}),
        ("boss", {"static_below", "static_above", "of_class", "ping", "free"}),
        ("operators", {"ping", "free"}),
        ("@operators", {"ping", "free"}),
        ("alice", {"ping", "free"}),
    ],
)
def test_marked_method_is_for_those_it_names(
    node: MakeNode, client: str, methods: set[str]
) -> None:
    assert callable_methods(marked(node, None, client)) == methods


def test_marks_know_the_groups_of_the_policy(node: MakeNode) -> None:
    rules = Rules([Allow("*", call="*")], groups={"operators": ["alice"]})
    assert callable_methods(marked(node, rules, "alice")) == {"reset", "ping", "free"}


def test_mark_gives_no_right_that_the_policy_does_not_give(node: MakeNode) -> None:
    rules = Rules([Allow("client", call="marked.free")])
    assert callable_methods(marked(node, rules, "client")) == {"free"}


def test_overriding_a_marked_method_does_not_remove_the_mark(node: MakeNode) -> None:
    class Careless(Marked):
        def static_below(self) -> str:  # type: ignore[override]
            return "careless"

        @allow("client")
        def measure(self) -> str:
            return "mine"

    pair = Pair(node, None)
    pair.server.register_object(Careless(), "marked")
    assert callable_methods(pair) == {"reset", "measure", "ping", "free"}


def test_marked_method_behind_getattr_cannot_be_called(node: MakeNode) -> None:
    class Facade:
        def __init__(self) -> None:
            self._inner = Marked()

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    pair = Pair(node, None)
    pair.server.register_object(Facade(), "facade")
    assert pair.call("facade.free") == "free"
    with pytest.raises(NoMethodError):
        pair.call("facade.reset")


def test_marks_end_with_their_object(node: MakeNode) -> None:
    pair = marked(node, None, "client")
    assert pair.server._authority.has_marks
    pair.server.register_object(Calculator(), "marked")
    assert not pair.server._authority.has_marks
    pair.server.register_object(Marked(), "marked")
    pair.server.unregister_object("marked")
    assert not pair.server._authority.has_marks


@pytest.mark.parametrize("who", [(), ("",), ("b*b",), ("@",)])
def test_wrong_name_in_a_mark_is_refused(who: tuple[str, ...]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        allow(*who)


def test_second_mark_of_a_method_is_refused() -> None:
    with pytest.raises(TypeError, match="marked already"):

        @allow("alice")
        @allow("bob")
        def method() -> None: ...


def test_mark_without_parentheses_is_refused() -> None:
    with pytest.raises(TypeError):

        @allow  # type: ignore[arg-type]
        def method() -> None: ...


# -- calls that wait


def test_call_that_was_held_is_judged_when_it_is_taken(
    network: MemoryNetwork, node: MakeNode
) -> None:
    pair = Pair(node, ADD, threads=0, max_unread_bytes=1)
    add = pair.client.get_proxy("server", "calculator").add
    futures = [add.future(1, 2) for _ in range(3)]
    network.run_until(lambda: any(future.done() for future in futures))
    assert pair.server._dispatcher._backlog.held_clients()
    pair.server_node.messaging.policy = Rules([Allow("client", call="calculator.reset")])
    network.run_until(lambda: all(future.done() for future in futures))
    assert futures[0].result() == 3
    assert all(isinstance(future.exception(), NotAllowed) for future in futures[1:])


next_names: list[str] = []


def next_name() -> str:
    return next_names.pop(0)


class Changing:
    """Its pickle is a call of a function that returns something else each time."""

    def __reduce__(self) -> Any:
        return next_name, ()


def test_repeated_call_gets_the_reply_of_the_time_when_it_was_allowed(
    node: MakeNode, raw_client: MakeRawClient
) -> None:
    """Otherwise a caller would hear that a method was not executed, although it was."""
    pair = Pair(node, ADD, client="somebody")
    client = raw_client("client")
    client.connect(pair.server_node)
    assert client.reply_of("add", 1, 2, object="calculator")["return"] == 3
    pair.server_node.messaging.policy = Rules()
    assert client.reply_of("add", 1, 2, object="calculator")["return"] == 3
    reply = client.reply_of("add", 1, 2, object="calculator", req_id=b"another id......")
    assert type(reply["exception"]) is NoInstanceError
    assert pair.calculator.calls == ["add"]
    assert pair.server_node.messaging.stats().peers["client"].refused == 1


class Waiting(Calculator):
    def __init__(self) -> None:
        super().__init__()
        self.may_end = threading.Event()

    def wait(self) -> None:
        self.may_end.wait(PATIENCE)


def test_request_that_changes_when_it_is_decoded_again_is_refused(
    node: MakeNode, raw_client: MakeRawClient
) -> None:
    """What waits for a thread is decoded twice, and a registered function may remember that."""
    next_names[:] = ["add", "reset"]
    pickler = SafePickler()
    pickler.register(next_name)
    pair = Pair(
        node,
        Rules([Allow("client", call=["calculator.add", "calculator.wait"])]),
        client="somebody",
        pickler=pickler,
        threads=1,
    )
    calculator = Waiting()
    pair.server.register_object(calculator, "calculator")
    client = raw_client("client")
    client.connect(pair.server_node)
    client.call("wait", object="calculator", req_id=b"the first call..")
    client.until(lambda: pair.server._dispatcher.pool.running())
    marked = pickle.dumps(request(args=()), 4)[:-2] + text("method") + b"NAMEu."
    changing = pickle.dumps(Changing(), 4)[11:-1]  # without protocol, frame and end
    client.send(marked.replace(b"NAME", changing))
    client.network.run_until_idle()
    assert pair.server._dispatcher._backlog.count == 1
    calculator.may_end.set()
    client.until(lambda: len(client.replies) == 2)
    assert calculator.calls == []
    (told,) = client.replies[1]["exception"].args
    assert told == "the request asks for something else when it is decoded again"


def test_signal_that_was_held_is_rejected_when_it_is_taken(
    network: MemoryNetwork, node: MakeNode
) -> None:
    pair = Pair(node, Rules([Allow("client", call="calculator.add")]), max_unread_bytes=1)
    rejected: list[str] = []
    pair.client_node.messaging.on_message_dropped.add(
        lambda _ident, _message, _reason, text: rejected.append(text)
    )
    calculator = pair.client.get_proxy("server", "calculator")
    calculator.note.as_signal(60)
    future = calculator.add.future(1, 2)
    calculator.note()
    network.run_until(lambda: bool(rejected) and future.done(), patience=PATIENCE)
    assert rejected == ["not allowed"]
    assert pair.calculator.calls == ["add"]
    network.advance(1)
    assert pair.client_node.messaging.outstanding("server") == (0, 0)


# -- errors on their way


def test_error_of_a_third_peer_is_not_taken_for_one_of_the_called_server(node: MakeNode) -> None:
    class Middle:
        def run(self) -> None:
            raise NotAllowed("not allowed: third.run")

    pair = Pair(node, None)
    pair.server.register_object(Middle(), "middle")
    with pytest.raises(RemoteError) as caught:
        pair.call("middle.run")
    assert caught.value.type_name == "snakemq.rpc.NotAllowed"


def test_policy_sees_who_calls_and_what(node: MakeNode) -> None:
    asked: list[tuple[str, str, str]] = []

    class Sees:
        def allows(self, identity: Identity, action: Action, target: str, /) -> bool:
            asked.append((identity.ident, action, target))
            return action == "call"

    pair = Pair(node, Sees())
    assert pair.call("calculator.add", 1, 2) == 3
    assert asked == [("client", "message", ""), ("client", "call", "calculator.add")]


def test_blocking_call_raises_what_a_future_has(node: MakeNode) -> None:
    pair = Pair(node, ADD)
    proxy = pair.client.get_proxy("server", "calculator")
    blocked = in_thread(lambda: proxy.reset())
    pair.client_node.until(blocked.done)
    with pytest.raises(NotAllowed):
        result(blocked)
