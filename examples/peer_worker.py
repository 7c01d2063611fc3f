"""Works for others, in several threads, and loses no work when it ends.

    python peer_worker.py [URL] [THREADS]

Listens at URL (tcp://127.0.0.1:4000 by default; port 0 is any free one) as "worker", and answers
each text in capitals, see peer_client.py. A message is acknowledged only when a thread is done with
it. End this with SIGTERM, Ctrl-C or even kill -9 while it works, and start it again: unfinished
work is sent again.
"""

import sys
import threading
import time

from snakemq import Peer

SECONDS_OF_WORK = 0.2


def say(text: str) -> None:
    print(text + "\n", end="", flush=True)  # in one piece: other threads print, too


def main(url: str = "tcp://127.0.0.1:4000", threads: str = "4") -> None:
    peer = Peer("worker")

    def work() -> None:
        for message in peer.messages():  # each message goes to one of the threads
            say(f"begin {message.content}")
            time.sleep(SECONDS_OF_WORK)
            message.reply(message.content.upper(), codec="text", ttl=60)
            say(f"done {message.content}")

    workers = [threading.Thread(target=work) for _ in range(int(threads))]
    for worker in workers:
        worker.start()
    say(f"listening on {peer.listen(url)}")
    peer.run()
    for worker in workers:
        worker.join()
    print("bye")


if __name__ == "__main__":
    main(*sys.argv[1:])
