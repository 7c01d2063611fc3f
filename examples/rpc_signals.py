"""Sends signals: calls without a result, for which the caller does not wait.

    python rpc_signals.py [PORT] [TEXT ...]

See rpc_server.py. A signal has a time to live: these wait for the server for up to 60 seconds. Ends
when the server has noted all texts, or on Ctrl-C.
"""

import sys
import threading

from snakemq.link import Link
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.rpc import RpcClient


def main(port: str = "4000", *texts: str) -> None:
    texts = texts or ("milk", "bread")
    link = Link()
    messaging = Messaging("client", "", Packeter(link))
    client = RpcClient(ReceiveHook(messaging))
    link.add_connector(("127.0.0.1", int(port)))
    loop = threading.Thread(target=link.loop, name="loop")
    loop.start()
    delivered = threading.Semaphore(0)
    messaging.on_message_delivered.add(lambda conn_id, ident, uuid: delivered.release())
    try:
        desk = client.get_proxy("server", "desk")
        desk.note.as_signal(60)  # the method is marked on both sides
        for text in texts:
            desk.note(text)
        print(f"{len(texts)} signals are on their way")
        for _ in texts:
            delivered.acquire()
        print("delivered")
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.stop()
        loop.join()
        link.cleanup()


if __name__ == "__main__":
    main(*sys.argv[1:])
