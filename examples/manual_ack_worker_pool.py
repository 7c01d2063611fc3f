"""Lets a pool of threads do work that is not lost when the process dies.

    python manual_ack_worker_pool.py [PORT] [THREADS]

Listens on 127.0.0.1:PORT (4000 by default; 0 picks a free one) as "listener", so
messaging_connector.py can send it work: one of the threads answers each text in capitals. A
message is acknowledged only when a thread is done with it. Kill this with kill -9 while it works
and start it again: unfinished work is sent again. Ends on Ctrl-C. To acknowledge only some
messages late, see defer_ack.py.
"""

import queue
import sys
import threading
import time

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter

SECONDS_OF_WORK = 0.2


def main(port: int = 4000, threads: int = 4) -> None:
    link = Link()
    # At most 100 messages of each sender are here at a time; the rest waits at the sender.
    messaging = Messaging("listener", "", Packeter(link), manual_ack=True, window_messages=100)
    jobs: queue.Queue[tuple[str, Message]] = queue.Queue()
    messaging.on_message_recv.add(lambda conn_id, ident, message: jobs.put((ident, message)))

    def work() -> None:
        while True:
            ident, message = jobs.get()
            print(f"begin {message.data.decode()}")
            time.sleep(SECONDS_OF_WORK)
            messaging.send_message(ident, Message(message.data.upper(), ttl=60))
            messaging.ack(message)  # from any thread, in any order
            print(f"done {message.data.decode()}")

    for _ in range(threads):
        threading.Thread(target=work, daemon=True).start()
    try:
        print("listening on", link.add_listener(("127.0.0.1", port)))
        link.loop()
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.cleanup()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
