"""Makes remote procedure calls: gets a result, an exception, futures and a time-out.

    python rpc_client.py [PORT]

See rpc_server.py. You may start that later: a call waits for it. Ends by itself, or on Ctrl-C.
"""

import sys
import threading

from snakemq.link import Link
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.rpc import NoMethodError, NotConnected, RpcClient


def main(port: int = 4000) -> None:
    link = Link()
    client = RpcClient(ReceiveHook(Messaging("client", "", Packeter(link))))
    link.add_connector(("127.0.0.1", port))
    # Calls block, so the loop has a thread of its own.
    loop = threading.Thread(target=link.loop, name="loop")
    loop.start()
    try:
        desk = client.get_proxy("server", "desk")
        print("7 / 2 is", desk.divide(7, 2))

        try:
            desk.divide(1, 0)
        except ZeroDivisionError as exc:
            print("raised there, and here:", exc)
            print(vars(exc)["__remote_traceback__"].strip().splitlines()[-1])

        try:
            desk.burn()
        except NoMethodError as exc:
            print("no method", exc)

        futures = [desk.divide.future(number, 2) for number in range(5)]
        print("at once:", [future.result() for future in futures])

        nobody = client.get_proxy("nobody", "desk")
        nobody.divide.set_timeout(0.2)
        try:
            nobody.divide(1, 1)
        except NotConnected as exc:
            print("not called:", exc)
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.stop()
        loop.join()
        link.cleanup()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
