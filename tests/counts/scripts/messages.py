"""``messages.py COUNT``: receive; ``messages.py COUNT PORT HOW``: send.

``loop``: all at once in a callback; ``thread``: all in another thread as quickly as it can;
``one_by_one``: in the loop, the next one when the last one was delivered; ``chained``: the next one
when the last one was sent. The sender prints how many passes its loop has made.
"""

from __future__ import annotations

import sys
import threading

from marks import mark

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter

DATA = b"x" * 100


def receive(count: int) -> None:
    link = Link()
    messaging = Messaging("receiver", "", Packeter(link))
    received = 0

    def on_message(conn_id: str, ident: str, message: Message) -> None:
        nonlocal received
        received += 1
        if received == 1:
            mark()
        if received == count:
            mark()

    messaging.on_message_recv.add(on_message)
    messaging.on_disconnect.add(lambda conn_id, ident: link.stop())
    print(link.add_listener(("127.0.0.1", 0))[1])
    link.loop()
    link.cleanup()


def send(count: int, port: int, how: str) -> None:
    link = Link()
    messaging = Messaging("sender", "", Packeter(link))
    delivered = sent = passes = 0
    connected = threading.Event()

    def send_some(number: int) -> None:
        for _ in range(number):
            messaging.send_message("receiver", Message(DATA, ttl=60))

    def begin() -> None:
        connected.wait()
        mark()
        link.on_loop_pass.add(count_pass)
        send_some(1 if how in ("one_by_one", "chained") else count)

    def count_pass() -> None:
        nonlocal passes
        passes += 1

    def on_connect(conn_id: str, ident: str) -> None:
        connected.set()
        if how != "thread":
            begin()

    def on_delivered(conn_id: str, ident: str, uuid: bytes) -> None:
        nonlocal delivered
        delivered += 1
        if delivered == count:
            mark()
            print(passes)
            link.stop()
        elif how == "one_by_one":
            send_some(1)

    def on_sent(conn_id: str, ident: str, uuid: bytes) -> None:
        nonlocal sent
        sent += 1
        if sent < count:
            send_some(1)

    messaging.on_connect.add(on_connect)
    if how == "chained":
        messaging.on_message_sent.add(on_sent)
    messaging.on_message_delivered.add(on_delivered)
    if how == "thread":
        threading.Thread(target=begin).start()
    link.add_connector(("127.0.0.1", port))
    link.loop()
    link.cleanup()


if len(sys.argv) == 2:
    receive(int(sys.argv[1]))
else:
    send(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
