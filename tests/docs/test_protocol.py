"""The bytes of protocol.md are those of the code."""

from __future__ import annotations

import os
import re

import pytest

import snakemq.exceptions
from snakemq.link.testing import MemoryLink, MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import Messaging, ReceiveHook, Reject, _wings
from snakemq.packeter import Packeter
from snakemq.rpc import RpcClient, RpcServer, SafePickler, inline

from .pages import DOCS, blocks
from .tables import rows

PAGE = (DOCS / "protocol.md").read_text()
HEADERS, CHUNKS, EXCHANGE, REJECTION, RPC, REFUSAL = (
    block.text for block in blocks(PAGE) if block.language == "hex"
)


def from_hex(text: str) -> bytes:
    """``61*3 62`` is ``aaab``."""
    data = b""
    for word in text.split():
        byte, _, times = word.partition("*")
        data += bytes.fromhex(byte) * int(times or 1)
    return data


@pytest.fixture(autouse=True)
def fixed_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show the version that the page has, which need not change with each release."""
    monkeypatch.setattr(_wings, "VERSION", "2.1.0")


def turns(text: str) -> list[tuple[str, bytes]]:
    """Which side says what. A comment follows after at least four spaces."""
    found: list[tuple[str, bytes]] = []
    for line in text.splitlines():
        if re.fullmatch(r"\w+:", line):
            found.append((line[:-1], b""))
        else:
            speaker, said = found[-1]
            hexadecimal = re.split(r"(?<=\w) {4,}", line)[0]
            found[-1] = (speaker, said + from_hex(hexadecimal))
    return found


class Wire:
    """Notes who says what to whom."""

    def __init__(self) -> None:
        self.turns: list[tuple[str, bytes]] = []

    def listen(self, link: MemoryLink, speaker: str) -> None:
        """``speaker`` is the one that ``link`` hears."""

        link.on_recv.add(lambda _, data: self.note(speaker, data))

    def note(self, speaker: str, data: bytes) -> None:
        if self.turns and self.turns[-1][0] == speaker:
            data = self.turns.pop()[1] + data
        self.turns.append((speaker, data))


def test_the_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    network, wire = MemoryNetwork(), Wire()
    alice_link, bob_link = network.link("alice"), network.link("bob")
    wire.listen(bob_link, "alice")
    wire.listen(alice_link, "bob")
    monkeypatch.setattr(os, "urandom", lambda size: b"\xaa" * size)
    alice = Messaging("alice", "", Packeter(alice_link))
    monkeypatch.setattr(os, "urandom", lambda size: b"\xbb" * size)
    Messaging("bob", "", Packeter(bob_link))
    network.connect(alice_link, bob_link)
    network.run_until_idle()
    alice.send_message("bob", Message(b"hello", ttl=600, uuid=bytes(range(16))))
    network.run_until_idle()
    alice.keepalive_interval = 5
    network.advance(5.5)
    assert wire.turns == turns(EXCHANGE)


def test_the_rejection() -> None:
    network, wire = MemoryNetwork(), Wire()
    alice_link, bob_link = network.link("alice"), network.link("bob")
    alice = Messaging("alice", "", Packeter(alice_link))
    bob = Messaging("bob", "", Packeter(bob_link))
    network.connect(alice_link, bob_link)
    network.run_until_idle()
    wire.listen(alice_link, "bob")

    def reject(*_: object) -> None:
        raise Reject("no!")

    bob.on_message_recv.add(reject)
    alice.send_message("bob", Message(b"hello", ttl=600))
    network.run_until_idle()
    assert wire.turns == turns(REJECTION)


def test_the_large_message() -> None:
    network, wire = MemoryNetwork(), Wire()
    alice_link, bob_link = network.link("alice"), network.link("bob")
    alice = Messaging("alice", "", Packeter(alice_link))
    bob = Messaging("bob", "", Packeter(bob_link))
    chunks = alice._wings.outgoing.chunks
    chunks.cut_from, chunks.max_chunk = 0, 7
    alice._wings.outgoing._express_lane.max_size = 0
    received: list[bytes] = []
    bob.on_message_recv.add(lambda _conn_id, _ident, message: received.append(message.data))
    network.connect(alice_link, bob_link)
    network.run_until_idle()
    wire.listen(bob_link, "alice")
    wire.listen(alice_link, "bob")
    alice.send_message("bob", Message(b"hello, world", 600, uuid=bytes(range(16))))
    network.run_until_idle()
    assert wire.turns == turns(CHUNKS)
    assert received == [b"hello, world"]


def test_the_message_with_headers() -> None:
    network, wire = MemoryNetwork(), Wire()
    alice_link, bob_link = network.link("alice"), network.link("bob")
    alice = Messaging("alice", "", Packeter(alice_link))
    bob = Messaging("bob", "", Packeter(bob_link))
    received: list[Message] = []
    bob.on_message_recv.add(lambda _conn_id, _ident, message: received.append(message))
    network.connect(alice_link, bob_link)
    network.run_until_idle()
    wire.listen(bob_link, "alice")
    headers = {"content-type": "text/plain", "n": ""}
    alice.send_message("bob", Message(b"hi", None, uuid=bytes(range(16)), headers=headers))
    network.run_until_idle()
    assert wire.turns == turns(HEADERS)
    assert (received[0].data, received[0].headers) == (b"hi", headers)


def test_the_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    network, wire = MemoryNetwork(at_once=True), Wire()  # as systems are
    links = {name: network.link(name) for name in ("alice", "bob", "impostor")}
    for name, link in links.items():
        byte = {"alice": b"\xaa", "bob": b"\xbb", "impostor": b"\xcc"}[name]
        monkeypatch.setattr(os, "urandom", lambda size, byte=byte: byte * size)
        Messaging("alice" if name == "alice" else "bob", "", Packeter(link))
    network.connect(links["bob"], links["alice"])
    network.run_until_idle()
    conn_id, at_alice = network.connect(links["impostor"], links["alice"])
    links["impostor"].on_recv.add(lambda _, data: wire.note("alice", data))
    links["alice"].on_recv.add(lambda c, data: c == at_alice and wire.note("impostor", data))
    network.run_until_idle()
    assert wire.turns == turns(REFUSAL)
    assert conn_id not in links["impostor"].connections


class Calculator:
    @inline
    def add(self, a: int, b: int) -> int:
        return a + b


def test_the_request_and_the_reply() -> None:
    (_, request), (_, reply) = turns(RPC)
    expected = {
        "req_id": bytes(range(16)),
        "command": "call",
        "object": "calculator",
        "method": "add",
        "args": (2, 3),
        "kwargs": {},
    }
    pickler = SafePickler()
    assert pickler.loads(request.removeprefix(b"rpcreq")) == expected
    assert b"rpcreq" + pickler.dumps(expected) == request

    # The server answers that request, byte for byte, as the page says.
    network = MemoryNetwork()
    client_link, server_link = network.link("client"), network.link("server")
    client = Messaging("client", "", Packeter(client_link))
    server = RpcServer(ReceiveHook(Messaging("server", "", Packeter(server_link))))
    server.register_object(Calculator(), "calculator")
    answers: list[bytes] = []
    client.on_message_recv.add(lambda _conn_id, _ident, message: answers.append(message.data))
    network.connect(client_link, server_link)
    network.run_until_idle()
    client.send_message("server", Message(request))
    network.run_until_idle()
    assert answers == [reply]


def test_the_client_writes_what_the_page_says() -> None:
    (_, request), _ = turns(RPC)
    network = MemoryNetwork()
    client_link, server_link = network.link("client"), network.link("server")
    client = RpcClient(ReceiveHook(Messaging("client", "", Packeter(client_link))))
    server = Messaging("server", "", Packeter(server_link))
    requests: list[bytes] = []
    server.on_message_recv.add(lambda _conn_id, _ident, message: requests.append(message.data))
    network.connect(client_link, server_link)
    network.run_until_idle()
    client.get_proxy("server", "calculator").add.future(2, 3)
    network.run_until_idle()
    req_id = SafePickler().loads(requests[0].removeprefix(b"rpcreq"))["req_id"]
    assert requests[0].replace(req_id, bytes(range(16))) == request


@pytest.mark.parametrize(("what", "sent", "exception"), rows(PAGE, "what the peer sends"))
def test_a_peer_that_breaks_the_rules_is_disconnected(what: str, sent: str, exception: str) -> None:
    network = MemoryNetwork()
    raw, link = network.link("raw"), network.link("link")
    messaging = Messaging("victim", "", Packeter(link))
    errors: list[Exception] = []
    messaging.on_error.add(lambda _conn_id, exc: errors.append(exc))
    other = network.link("other")
    Messaging("other", "", Packeter(other))
    network.connect(other, link)
    disconnected: list[str] = []
    raw.on_disconnect.add(disconnected.append)
    conn_id, _ = network.connect(raw, link)
    network.run_until_idle()
    packets = re.findall(r"`([^`]*)`(?: (\d+) times)?", sent)
    data = b"".join(from_hex(packet) * int(times or 1) for packet, times in packets)
    if data:
        raw.send(conn_id, data)
    network.advance(10)
    assert disconnected == [conn_id]
    assert [type(exc) for exc in errors] == [getattr(snakemq.exceptions, exception.strip("`"))]
