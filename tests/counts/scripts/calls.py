"""``calls.py COUNT``: serve; ``calls.py COUNT PORT``: call an inline method that often."""

from __future__ import annotations

import sys
import threading

from marks import mark

from snakemq.link import Link
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.rpc import RpcClient, RpcServer, inline


class Adder:
    def __init__(self, count: int) -> None:
        self.calls = 0
        self.count = count

    @inline
    def add(self, a: int, b: int) -> int:
        self.calls += 1
        if self.calls in (2, self.count):  # the first one waits for the connection
            mark()
        return a + b


def serve(count: int) -> None:
    link = Link()
    messaging = Messaging("server", "", Packeter(link))
    RpcServer(ReceiveHook(messaging)).register_object(Adder(count), "adder")
    messaging.on_disconnect.add(lambda conn_id, ident: link.stop())
    print(link.add_listener(("127.0.0.1", 0))[1])
    link.loop()
    link.cleanup()


def call(count: int, port: int) -> None:
    link = Link()
    client = RpcClient(ReceiveHook(Messaging("client", "", Packeter(link))))
    link.add_connector(("127.0.0.1", port))
    loop = threading.Thread(target=link.loop)
    loop.start()
    add = client.get_proxy("server", "adder").add
    for number in range(count):
        if number == 1:
            mark()
        assert add(number, 1) == number + 1
    mark()
    link.cleanup()
    loop.join()


if len(sys.argv) == 2:
    serve(int(sys.argv[1]))
else:
    call(int(sys.argv[1]), int(sys.argv[2]))
