"""snakeMQ 1.6 from PyPI. Runs in an environment of its own, where nothing of ours is."""

import threading
import time

import snakemq.link
import snakemq.message
import snakemq.messaging
import snakemq.packeter
import snakemq.rpc
from benchmarks.suite.harness.role import Role, time_callers

TTL = 60


def stack(ident: str, storage=None):
    link = snakemq.link.Link()
    packeter = snakemq.packeter.Packeter(link)
    return link, snakemq.messaging.Messaging(ident, "", packeter, storage)


def listen(link, address=("127.0.0.1", 0)):
    return link.add_listener(tuple(address))


def packets_receiver(role: Role) -> None:
    link = snakemq.link.Link()
    packeter = snakemq.packeter.Packeter(link)
    left = role.count

    def on_packet(conn_id, packet):
        nonlocal left
        left -= 1
        if not left:
            role.finish()

    packeter.on_connect.add(lambda conn_id: role.meet())
    packeter.on_packet_recv.add(on_packet)
    role.ready(listen(link))
    link.loop()


def packets_sender(role: Role) -> None:
    link = snakemq.link.Link()
    packeter = snakemq.packeter.Packeter(link)
    packet = role.payload

    def on_connect(conn_id):
        role.meet()
        for _ in range(role.count):
            packeter.send_packet(conn_id, packet)

    packeter.on_connect.add(on_connect)
    link.add_connector(tuple(role.address))
    link.loop()


def messages_receiver(role: Role) -> None:
    link, messaging = stack("receiver")
    left = role.count

    def on_message(conn_id, ident, message):
        nonlocal left
        left -= 1
        if not left:
            role.finish()

    messaging.on_connect.add(lambda conn_id, ident: role.meet())
    messaging.on_message_recv.add(on_message)
    role.ready(listen(link))
    link.loop()


def messages_sender(role: Role) -> None:
    link, messaging = stack("sender")
    data, count = role.payload, role.count

    def send_all():
        for _ in range(count):
            messaging.send_message("receiver", snakemq.message.Message(data, TTL))

    if role.way == "thread":
        connected = threading.Event()

        def run():
            connected.wait()
            role.meet()
            send_all()

        threading.Thread(target=run, daemon=True).start()
        messaging.on_connect.add(lambda conn_id, ident: connected.set())
    elif role.way == "queued":

        def on_connect(conn_id, ident):
            role.meet()
            send_all()

        messaging.on_connect.add(on_connect)
    else:
        left = count

        def send_next(*_):
            nonlocal left
            if left:
                left -= 1
                messaging.send_message("receiver", snakemq.message.Message(data, TTL))

        def begin(conn_id, ident):
            role.meet()
            send_next()

        messaging.on_connect.add(begin)
        messaging.on_message_sent.add(send_next)
    link.add_connector(tuple(role.address))
    link.loop()


class Calculator:
    def add(self, a, b):
        return a + b


def calls_server(role: Role) -> None:
    link, messaging = stack("server")
    server = snakemq.rpc.RpcServer(snakemq.messaging.ReceiveHook(messaging))
    server.register_object(Calculator(), "calculator")
    role.ready(listen(link))
    link.loop()


def calls_client(role: Role) -> None:
    link, messaging = stack("client")
    client = snakemq.rpc.RpcClient(snakemq.messaging.ReceiveHook(messaging))
    link.add_connector(tuple(role.address))
    threading.Thread(target=link.loop, daemon=True).start()
    add = client.get_proxy("server", "calculator").add
    time_callers(role, lambda: add)
    role.stay()


def durable_sender(role: Role) -> None:
    """In the loop, because its storage refuses calls of any other thread."""
    from snakemq.storage.sqlite import SqliteQueuesStorage

    flags = snakemq.message.FLAG_PERSISTENT
    storage = SqliteQueuesStorage(f"{role.folder}/queue.db")
    if backlog := role.settings.get("backlog"):
        row = role.payload, 3600.0, flags
        with storage.conn:
            storage.conn.executemany(
                "INSERT INTO items VALUES ('absent', ?, ?, ?, ?)",
                ((f"{number:032x}", *row) for number in range(backlog)),
            )
    link, messaging = stack("sender", storage)

    def on_connect(conn_id, ident):
        role.meet()
        began = time.perf_counter()
        for _ in range(role.count):
            message = snakemq.message.Message(role.payload, TTL, flags)
            messaging.send_message("receiver", message)
        role.tell("accepted", time.perf_counter() - began)

    messaging.on_connect.add(on_connect)
    link.add_connector(tuple(role.address))
    link.loop()


def connections_receiver(role: Role) -> None:
    link = snakemq.link.Link()
    packeter = snakemq.packeter.Packeter(link)
    left, missing = role.count, role.connections

    def on_connect(*_):
        nonlocal missing
        missing -= 1
        if not missing:
            role.meet()

    def on_packet(conn_id, packet):
        nonlocal left
        left -= 1
        if not left:
            role.finish()

    def on_message(conn_id, ident, message):
        nonlocal left
        left -= 1
        if not left:
            role.finish()

    if role.settings.get("messages"):
        messaging = snakemq.messaging.Messaging("receiver", "", packeter)
        messaging.on_connect.add(on_connect)
        messaging.on_message_recv.add(on_message)
    else:
        packeter.on_connect.add(on_connect)
        packeter.on_packet_recv.add(on_packet)
    role.ready(listen(link))
    link.loop()


def idle_listener(role: Role) -> None:
    link, messaging = stack("listener")
    messaging.on_connect.add(lambda conn_id, ident: role.meet())
    role.ready(listen(link))
    link.loop()


def idle_dialler(role: Role) -> None:
    link, messaging = stack("dialler")
    messaging.on_connect.add(lambda conn_id, ident: role.meet())
    link.add_connector(tuple(role.address))
    link.loop()


def reconnect_listener(role: Role) -> None:
    link, messaging = stack("listener")
    messaging.on_message_recv.add(lambda conn_id, ident, message: role.finish())
    role.ready(listen(link, role.settings.get("address", ("127.0.0.1", 0))))
    link.loop()


def reconnect_dialler(role: Role) -> None:
    link, messaging = stack("dialler")
    messaging.on_connect.add(
        lambda conn_id, ident: messaging.send_message(
            ident, snakemq.message.Message(b"here again", TTL)
        )
    )
    link.add_connector(tuple(role.address))
    link.loop()
