"""Sends from several threads, while the main thread receives.

    python worker_threads.py [PORT] [THREADS]

Sends to the peer "listener", which is messaging_listener.py, and waits for its answers. Ends when
all are there, or on Ctrl-C. All methods of a peer are thread-safe. Messages of one thread arrive in
order; those of different threads are interleaved.
"""

import sys
import threading
from itertools import islice

from snakemq import Peer

MESSAGES = 100  # from each thread


def main(port: str = "4000", threads: str = "4") -> None:
    names = [f"WORKER{number}" for number in range(int(threads))]
    with Peer("workers") as peer:
        peer.connect(f"tcp://127.0.0.1:{port}")

        def work(name: str) -> None:
            for number in range(MESSAGES):
                peer.send("listener", f"{name} {number}", codec="text", ttl=60)

        workers = [threading.Thread(target=work, args=(name,)) for name in names]
        for worker in workers:
            worker.start()
        last = dict.fromkeys(names, -1)
        in_order = True
        with peer.messages(timeout=60) as messages:
            for message in islice(messages, len(names) * MESSAGES):
                name, number = message.data.decode().split()
                in_order = in_order and int(number) == last[name] + 1
                last[name] = int(number)
        for worker in workers:
            worker.join()
        answers = sum(number + 1 for number in last.values())
        print(f"{answers} answers, each thread's in order: {in_order}")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        print("bye")
