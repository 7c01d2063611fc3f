"""Nothing that a peer says makes a line of its own in the log."""

from __future__ import annotations

import io
import logging
import pickle
import struct
from collections.abc import Iterator

import pytest

from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.rpc import RpcServer, as_signal

FORGED = "FORGED root was admitted"
EVIL = f"a\n{FORGED}\r\x1b[2J"
VERSION = struct.pack("!BI", 0, 1)
FEATURES = struct.pack("!BHIQIII", 16, 1, 1, 7, 1000, 1_000_000, 0xFFFFFFFF)


class Service:
    @as_signal
    def fail(self, text: str) -> None:
        raise ValueError(text)


class Server:
    """Logs everything, and repeats what it is told in exceptions of its callbacks."""

    def __init__(self, network: MemoryNetwork, **options: object) -> None:
        self.link = network.link("server")
        self.messaging = Messaging("server", "", Packeter(self.link), **options)  # type: ignore[arg-type]
        hook = ReceiveHook(self.messaging)
        RpcServer(hook, threads=0).register_object(Service(), "service")
        self.messaging.on_message_recv.add(self._on_message_recv)
        self.errors: list[str] = []
        self.messaging.on_error.add(lambda _conn_id, exc: self.errors.append(str(exc)))

    def _on_message_recv(self, conn_id: str, ident: str, message: Message) -> None:
        if not message.data.startswith(b"rpc"):
            raise ValueError(f"{ident} sent {message.data.decode()}")


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("> %(message)s"))
    logger = logging.getLogger("snakemq")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(level)


def stranger(network: MemoryNetwork, name: str, server: Server, *frames: bytes) -> None:
    packeter = Packeter(network.link(name))
    conn_id, _ = network.connect(packeter.link, server.link)  # type: ignore[arg-type]
    network.run_until_idle()
    for frame in frames:
        packeter.send_packet(conn_id, frame)
    network.run_until_idle()


def message(data: bytes, number: int) -> bytes:
    return struct.pack("!B16sII", 3, bytes([number]) * 16, 60, 0) + data


def request(number: int, **keys: object) -> bytes:
    whole = {"command": "call", "object": "service", "method": "fail", "args": (), "kwargs": {}}
    return message(b"rpcreq" + pickle.dumps({**whole, "req_id": b"x" * 16, **keys}, 4), number)


def test_a_hostile_session_forges_no_line(log: io.StringIO) -> None:
    network = MemoryNetwork()
    server = Server(network, max_attempts=2, retry_delay=1)
    identification = b"\x02" + EVIL.encode()
    stranger(
        network,
        "messages",
        server,
        *(VERSION, FEATURES, identification),
        message(EVIL.encode(), 1),
        request(2, object=EVIL),
        request(3, method=EVIL),
        request(4, args=(EVIL,), command="signal"),
        request(5, req_id=EVIL.encode()),
        request(6, command="signal", method=EVIL),
    )
    stranger(network, "again", server, VERSION, identification)
    network.advance(30)
    for number, data in enumerate(
        (
            b"rpcreq" + pickle.dumps({EVIL: EVIL}, 4),
            b"rpcreq\x80\x04c" + b"builtins\neval\rFORGED\n.",
            b"rpcreq\x80\x04\x8c" + bytes([len(EVIL)]) + EVIL.encode() + b"\x8c\x01x\x93.",
            b"rpcrep" + pickle.dumps({"req_id": EVIL}, 4),
        )
    ):
        stranger(
            network,
            f"broken {number}",
            server,
            *(VERSION, FEATURES, b"\x02" + f"b\n{number}".encode()),
            message(data, 7),
        )
    stranger(network, "no version", server, b"\0" + EVIL.encode())
    network.advance(30)
    server.messaging.send_message(EVIL[:20], Message(b"absent", 0))
    network.run_until_idle()
    text = log.getvalue()
    assert text.count("FORGED") > 5, "it was not mentioned at all"
    assert not [line for line in text.splitlines() if line.startswith("FORGED")]
    assert not [char for char in text if not char.isprintable() and char != "\n"]
    # What users may write into a log of their own: all but what their own callbacks have raised.
    assert not [error for error in server.errors if not error.isprintable() and "sent" not in error]
