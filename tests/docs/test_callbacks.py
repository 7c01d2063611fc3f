"""The page about callbacks names all of them, and they come in the order that it says."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Callable
from types import ModuleType

import pytest

import snakemq.link
import snakemq.link.testing
import snakemq.messaging
import snakemq.packeter
import snakemq.rpc
import snakemq.throttle
from snakemq.callbacks import Callback, Event
from snakemq.identity import CertificateIdents
from snakemq.link import Link
from snakemq.link.testing import MemoryLink, MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter

from .pages import DOCS
from .tables import rows

PAGE = (DOCS / "callbacks.md").read_text()
MODULES = [
    snakemq.link,
    snakemq.link.testing,
    snakemq.messaging,
    snakemq.packeter,
    snakemq.rpc,
    snakemq.throttle,
]
#: They take the place of a link.
LINKS = {"MemoryLink", "Throttle"}
#: Registered in another way than at an event.
NO_EVENTS = {
    "ReceiveHook.register",
    "Receipt.add_done_callback",
    "RpcClient.exception_handler",
    "Future.add_done_callback",
    "Link.call_later",
    "Link.call_from_thread",
}
#: What each byte on the wire causes; a row that is not about it does not name it.
TRAFFIC = {
    "Link.on_recv",
    "Link.on_ready_to_send",
    "Packeter.on_packet_recv",
    "Packeter.on_packet_sent",
    "Packeter.on_packets_recv",
    "Packeter.on_packets_sent",
}


def documented() -> dict[str, int]:
    """The callbacks of the table, and how many arguments each is called with."""
    table = rows(PAGE, "callback")
    return {name.strip("`"): len(re.findall(r"\w+", arguments)) for name, arguments, *_ in table}


def events(module: ModuleType) -> dict[str, int]:
    """The events of the public classes of a module, and how many arguments each has."""
    found = {}
    for class_name in module.__all__:
        cls = getattr(module, class_name)
        if not inspect.isclass(cls):
            continue
        owner = "Link" if class_name in LINKS else class_name
        for base in cls.__mro__:
            for name, value in vars(base).items():
                if isinstance(value, Event):
                    arguments = re.fullmatch(r"Event\[\[(.*)\]\]", base.__annotations__[name])
                    assert arguments is not None, name
                    # Commas inside of brackets belong to one argument.
                    flat = re.sub(r"\[.*\]", "", arguments[1])
                    found[f"{owner}.{name}"] = len(flat.split(",")) if flat else 0
    return found


def test_the_table_names_every_event_with_its_arguments() -> None:
    expected: dict[str, int] = {}
    for module in MODULES:
        expected |= events(module)
    assert {k: v for k, v in documented().items() if k not in NO_EVENTS} == expected


def test_no_public_class_has_an_event_that_is_not_found_above() -> None:
    """It could be an attribute that is a plain Callback, or a class in another module."""
    link = Link()
    packeter = Packeter(link)
    found = {
        f"{type(layer).__name__}.{name}"
        for layer in (link, packeter, Messaging("somebody", "", packeter))
        for name in dir(layer)
        if not name.startswith("_") and isinstance(getattr(layer, name), Callback)
    }
    link.cleanup()
    assert found == set(documented()) - NO_EVENTS


class Stack:
    """A whole stack that notes which of its callbacks are called."""

    def __init__(self, link: MemoryLink | Link, ident: str, **options: object) -> None:
        self.link = link
        self.packeter = Packeter(link)
        self.messaging = Messaging(ident, "", self.packeter, **options)  # type: ignore[arg-type]
        self.called: list[str] = []
        for layer in (link, self.packeter, self.messaging):
            owner = "Link" if isinstance(layer, MemoryLink) else type(layer).__name__
            for name in dir(layer):
                event = getattr(layer, name)
                # The older name of an event, and an event of nothing.
                if isinstance(event, Callback) and name not in ("on_packet_send", "on_loop_pass"):
                    event.add(self._note(f"{owner}.{name}"))

    def _note(self, name: str) -> Callable[..., None]:
        return lambda *_: self.called.append(name)


class Two:
    """alice, who is watched, and bob, over a network in memory."""

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.alice = Stack(self.network.link("alice"), "alice", max_attempts=2)
        self.bob = Stack(self.network.link("bob"), "bob", manual_ack=True)
        self.received: list[Message] = []
        self.bob.messaging.on_message_recv.add(lambda *args: self.received.append(args[-1]))

    def connect(self) -> None:
        assert isinstance(self.alice.link, MemoryLink)
        assert isinstance(self.bob.link, MemoryLink)
        _, self.conn_id = self.network.connect(self.alice.link, self.bob.link)
        self.network.run_until_idle()

    def send(self, ttl: float = 0) -> None:
        self.alice.messaging.send_message("bob", Message(b"hello", ttl=ttl))
        self.network.run_until_idle()

    def begin(self) -> None:
        """Forget what was called up to now."""
        self.alice.called.clear()


def fail(*_: object) -> None:
    raise RuntimeError("this callback always fails")


def a_connection_is_made(two: Two) -> None:
    two.connect()


def an_ident_is_not_proven(two: Two) -> None:
    two.alice.messaging.authenticator = CertificateIdents(dns=True)
    two.connect()


def a_check_raises(two: Two) -> None:
    two.alice.messaging.on_connect.add(fail)
    two.connect()


def a_message_is_sent(two: Two) -> None:
    two.connect()
    two.begin()
    two.send()


def the_peer_has_processed_it(two: Two) -> None:
    a_message_is_sent(two)
    two.begin()
    two.bob.messaging.ack(two.received.pop())
    two.network.run_until_idle()


def the_peer_has_rejected_it(two: Two) -> None:
    a_message_is_sent(two)
    two.begin()
    two.bob.messaging.reject(two.received.pop())
    two.network.run_until_idle()


def the_connection_breaks(two: Two) -> None:
    a_message_is_sent(two)
    two.begin()
    two.bob.link.close(two.conn_id)
    two.network.run_until_idle()


def the_peer_is_absent(two: Two) -> None:
    two.alice.messaging.send_message("bob", Message(b"hello"))
    assert two.alice.called == []
    two.network.run_until_idle()


def the_message_is_cancelled(two: Two) -> None:
    uuid = two.alice.messaging.send_message("bob", Message(b"x", ttl=5))
    assert two.alice.messaging.queue("bob").cancel(uuid)
    assert two.alice.called == []
    two.network.run_until_idle()


def the_ttl_is_over(two: Two) -> None:
    two.send(ttl=5)
    assert two.alice.called == []
    two.network.advance(6)


def a_message_arrives(two: Two) -> None:
    two.connect()
    two.begin()
    two.bob.messaging.send_message("alice", Message(b"hello"))
    two.network.run_until_idle()


def a_receiver_raises(two: Two) -> None:
    two.alice.messaging.on_message_recv.add(fail)
    a_message_arrives(two)
    two.network.advance(5)


def a_peer_breaks_the_rules(two: Two) -> None:
    two.connect()
    two.begin()
    two.bob.link.send(two.conn_id, b"\x00\x00\x00\x01\x03")  # a message without a header
    two.network.advance(5)


SITUATIONS: dict[str, Callable[[Two], None]] = {
    "a connection is made": a_connection_is_made,
    "a connection is made, and the peer does not prove its ident": an_ident_is_not_proven,
    "a connection is made, and a callback of `Messaging.on_connect` raises": a_check_raises,
    "a message is sent to a connected peer": a_message_is_sent,
    "the peer has processed it": the_peer_has_processed_it,
    "the peer has rejected it": the_peer_has_rejected_it,
    "the connection breaks while a message with `ttl=0` is on its way": the_connection_breaks,
    "a message with `ttl=0` is sent to an absent peer": the_peer_is_absent,
    "the application cancels a waiting message": the_message_is_cancelled,
    "the `ttl` of a waiting message is over": the_ttl_is_over,
    "a message arrives": a_message_arrives,
    "a message arrives, and `Messaging.on_message_recv` raises (`max_attempts=2`)": (
        a_receiver_raises
    ),
    "a peer breaks the rules": a_peer_breaks_the_rules,
}
NOBODY = "a connector finds nobody"
CLEANUP = "`cleanup()` is called while a message with `ttl=0` is on its way"
ORDERS = {what: re.findall(r"`(\w+\.on_\w+)`", order) for what, order in rows(PAGE, "what happens")}


def without_traffic(called: list[str], order: list[str]) -> list[str]:
    """Leave out of what was called what a row with that order is not about."""
    return [name for name in called if name in order or name not in TRAFFIC]


def test_every_order_is_tested() -> None:
    assert set(ORDERS) == {*SITUATIONS, NOBODY, CLEANUP}


@pytest.mark.parametrize("what", SITUATIONS)
def test_callbacks_come_in_this_order(what: str) -> None:
    two = Two()
    SITUATIONS[what](two)
    assert without_traffic(two.alice.called, ORDERS[what]) == ORDERS[what]


def run_until(condition: Callable[[], object], *links: Link) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        for link in links:
            link.loop(runtime=0.01)


def test_a_connector_finds_nobody() -> None:
    link = Link()
    address = link.add_listener(("127.0.0.1", 0))
    link.del_listener(address)
    stack = Stack(link, "alice")
    link.add_connector(address)
    run_until(lambda: stack.called, link)
    assert stack.called == ORDERS[NOBODY]
    link.cleanup()


def test_cleanup_while_a_message_is_on_its_way() -> None:
    link, other = Link(), Link()
    alice, bob = Stack(link, "alice"), Stack(other, "bob", manual_ack=True)
    link.add_connector(other.add_listener(("127.0.0.1", 0)))
    run_until(lambda: alice.messaging.is_connected("bob"), link, other)
    alice.messaging.send_message("bob", Message(b"hello"))
    run_until(lambda: "Messaging.on_message_recv" in bob.called, link, other)
    alice.called.clear()
    link.cleanup()
    assert without_traffic(alice.called, ORDERS[CLEANUP]) == ORDERS[CLEANUP]
    other.cleanup()
