"""Sends from several threads, while another thread runs the loop.

    python worker_threads.py [PORT] [THREADS]

Sends to the peer "listener", which is messaging_listener.py, and waits for its answers. Ends when
all are there, or on Ctrl-C.

send_message() is thread-safe. The callbacks are called in the thread that runs the loop, so they
hand long work over to other threads, here by a queue that the main thread reads.
"""

import queue
import sys
import threading

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter

MESSAGES = 100  # from each thread


def main(port: int = 4000, threads: int = 4) -> None:
    link = Link()
    messaging = Messaging("workers", "", Packeter(link))
    answers: queue.Queue[Message] = queue.Queue()
    messaging.on_message_recv.add(lambda conn_id, ident, message: answers.put(message))
    link.add_connector(("127.0.0.1", port))
    loop = threading.Thread(target=link.loop, name="loop")
    loop.start()

    def work(name: str) -> None:
        for number in range(MESSAGES):
            messaging.send_message("listener", Message(f"{name} {number}".encode(), ttl=60))

    workers = [threading.Thread(target=work, args=(f"worker{n}",)) for n in range(threads)]
    try:
        for worker in workers:
            worker.start()
        # Messages of one thread arrive in order; those of different threads are interleaved.
        last = dict.fromkeys((f"WORKER{n}" for n in range(threads)), -1)
        in_order = True
        for _ in range(threads * MESSAGES):
            name, number = answers.get(timeout=60).data.decode().split()
            in_order = in_order and int(number) == last[name] + 1
            last[name] = int(number)
        print(f"{threads * MESSAGES} answers, each thread's in order: {in_order}")
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.stop()  # thread-safe, and works at once
        loop.join()
        link.cleanup()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
