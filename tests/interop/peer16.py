"""A peer that runs the genuine snakeMQ 1.6. It is run by 1.6's own Python, never imported.

Commands are lines of JSON on standard input, ``[number, name, arguments]``; what happens goes as
lines of JSON to standard output. Values of RPC travel as Python expressions. Commands are carried
out by the thread of the loop, because hardly anything of 1.6 is thread-safe.
"""

import argparse
import collections
import hashlib
import json
import logging
import os
import random
import ssl
import sys
import threading
import traceback

import shop  # noqa: F401

import snakemq.link
import snakemq.message
import snakemq.messaging
import snakemq.packeter
import snakemq.rpc
from snakemq.storage.sqlite import SqliteQueuesStorage

POLL_TIMEOUT = 0.05  # the default of 0.2 s is how long each of its reconnections would take

_write_lock = threading.Lock()


def emit(event, **details):
    line = json.dumps({"event": event, **details}) + "\n"
    with _write_lock:
        sys.stdout.write(line)
        sys.stdout.flush()


def random_bytes(seed, size):
    return random.Random(seed).randbytes(size)


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Unpicklable(Exception):
    def __reduce__(self):
        raise TypeError("not for travelling")


class Service:
    """What 1.6 serves by RPC."""

    def __init__(self):
        self.released = threading.Event()

    def echo(self, *args, **kwargs):
        return args, kwargs

    def repr(self, value):
        return repr(value)

    def give(self, expression):
        return eval(expression)

    def fail(self, expression):
        raise eval(expression)

    def block(self):
        emit("blocked")
        self.released.wait(60)
        return "released"

    @snakemq.rpc.as_signal
    def note(self, *args, **kwargs):
        emit("signal", args=repr(args), kwargs=repr(kwargs))


class LogEmitter(logging.Handler):
    def emit(self, record):
        emit("log", level=record.levelname, text=record.getMessage())


class Peer:
    def __init__(self, ident, storage):
        self.commands = collections.deque()
        self.link = snakemq.link.Link()
        self.packeter = snakemq.packeter.Packeter(self.link)
        self.link.on_loop_pass.add(self.on_loop_pass)
        if not ident:
            self.packeter.on_connect.add(lambda conn_id: emit("connected", ident=conn_id))
            self.packeter.on_disconnect.add(lambda conn_id: emit("disconnected", ident=conn_id))
            self.packeter.on_packet_recv.add(self.on_packet_recv)
        else:
            self.build_messaging(ident, storage and SqliteQueuesStorage(storage))

    def build_messaging(self, ident, storage):
        self.messaging = snakemq.messaging.Messaging(ident, "", self.packeter, storage)
        hook = snakemq.messaging.ReceiveHook(self.messaging)
        hook.register(b"(?!rpcre[qp])", self.on_message_recv)
        self.messaging.on_connect.add(lambda conn_id, ident: emit("connected", ident=ident))
        self.messaging.on_disconnect.add(lambda conn_id, ident: emit("disconnected", ident=ident))
        self.messaging.on_message_sent.add(lambda c, i, uuid: emit("sent", uuid=uuid.hex()))
        self.messaging.on_message_drop.add(lambda ident, uuid: emit("dropped", uuid=uuid.hex()))
        self.messaging.on_error.add(lambda conn_id, exc: emit("error", text=repr(exc)))
        self.server = snakemq.rpc.RpcServer(hook)
        self.service = Service()
        self.server.register_object(self.service, "service")
        self.client = snakemq.rpc.RpcClient(hook)

    # -- what happens

    def on_message_recv(self, conn_id, ident, message):
        emit(
            "received",
            ident=ident,
            size=len(message.data),
            digest=digest(message.data),
            ttl=message.ttl,
            flags=message.flags,
            uuid=message.uuid.hex(),
        )

    def on_packet_recv(self, conn_id, packet):
        emit("packet", type=packet[:1].hex(), size=len(packet), digest=digest(packet))

    # -- commands

    def do_listen(self, port=0, tls=None):
        address = self.link.add_listener(("127.0.0.1", port), ssl_config=ssl_config(tls))
        return address[1]

    def do_dial(self, port, tls=None):
        self.link.add_connector(("127.0.0.1", port), 0.1, ssl_config=ssl_config(tls))

    def do_disconnect(self, ident):
        self.link.close(self.messaging._conn_by_ident[ident])

    def do_send(self, ident, sizes, ttl=60, flags=0, uuid=None):
        """One message of each size, its number in ``sizes`` is the seed. Returns the uuids."""
        uuids = []
        for seed, size in enumerate(sizes):
            message = snakemq.message.Message(
                random_bytes(seed, size), ttl, flags, uuid and bytes.fromhex(uuid)
            )
            self.messaging.send_message(ident, message)
            uuids.append(message.uuid.hex())
        return uuids

    def do_send_packets(self, sizes):
        (conn_id,) = self.packeter._connections
        for seed, size in enumerate(sizes):
            self.packeter.send_packet(conn_id, random_bytes(seed, size))

    def do_keepalive(self, interval, wait):
        self.messaging.keepalive_interval = interval
        self.messaging.keepalive_wait = wait

    def do_transfer_exceptions(self, on):
        self.server.transfer_exceptions = on

    def do_release(self):
        self.service.released.set()

    def do_call(self, ident, method, args="()", kwargs="{}", timeout=None, name="service"):
        """Returns at once; the outcome is an event."""
        remote = getattr(self.client.get_proxy(ident, name), method).clone()
        remote.set_timeout(timeout)
        threading.Thread(target=self.call, args=(remote, args, kwargs), daemon=True).start()

    def do_signal(self, ident, method, args="()", ttl=10, name="service"):
        remote = getattr(self.client.get_proxy(ident, name), method).clone()
        remote.as_signal(ttl)
        remote(*eval(args))

    def call(self, remote, args, kwargs):
        try:
            value = remote(*eval(args), **eval(kwargs))
        except Exception as exc:
            emit(
                "raised",
                type=type(exc).__module__ + "." + type(exc).__qualname__,
                text=str(exc),
                remote_traceback=getattr(exc, "__remote_traceback__", None),
            )
        else:
            emit("returned", value=repr(value))

    # -- the loop

    def on_loop_pass(self):
        while self.commands:
            number, name, arguments = self.commands.popleft()
            value = getattr(self, "do_" + name)(**arguments)
            emit("done", number=number, value=value)

    def read_commands(self):
        for line in sys.stdin:
            self.commands.append(json.loads(line))
            self.link.wakeup_poll()
        os._exit(0)  # the test is over, or dead


def ssl_config(tls):
    if tls is None:
        return None
    return snakemq.link.SSLConfig(
        tls["key"], tls["cert"], ca_certs=tls["ca"], cert_reqs=ssl.CERT_REQUIRED
    )


def main():
    parser = argparse.ArgumentParser()
    # JSON, because some characters cannot be in a command line.
    parser.add_argument("--ident-json", type=json.loads, help="empty: packets, no messaging")
    parser.add_argument("--storage")
    options = parser.parse_args()
    logging.getLogger("snakemq").addHandler(LogEmitter(logging.WARNING))
    peer = Peer(options.ident_json, options.storage)
    threading.Thread(target=peer.read_commands, daemon=True).start()
    emit("ready", file=snakemq.__file__, python=sys.version)
    try:
        peer.link.loop(POLL_TIMEOUT)
    except BaseException:
        emit("crashed", traceback=traceback.format_exc())
        os._exit(1)


main()
