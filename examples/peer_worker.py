"""Works for others, in several threads, until the system ends it.

    python peer_worker.py [URL] [THREADS]

Listens at URL (tcp://127.0.0.1:4000 by default; port 0 is any free one) as "worker", and answers
each text in capitals. A message is acknowledged when its answer is on its way. On SIGTERM or Ctrl-C
it finishes what the threads have, and ends; peers keep the rest. See peer_client.py.
"""

import sys
import threading

from snakemq import Peer


def main(url: str = "tcp://127.0.0.1:4000", threads: str = "4") -> None:
    peer = Peer("worker")

    def work() -> None:
        for message in peer.messages():
            line = f"{message.sender.ident}: {message.content}\n"
            print(line, end="", flush=True)  # in one piece: other threads print, too
            message.reply(message.content.upper(), codec="text", ttl=60)

    workers = [threading.Thread(target=work) for _ in range(int(threads))]
    for worker in workers:
        worker.start()
    print("listening on", peer.listen(url), flush=True)
    peer.run()
    for worker in workers:
        worker.join()
    print("bye")


if __name__ == "__main__":
    main(*sys.argv[1:])
