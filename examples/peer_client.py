"""Has a worker do something, and prints the answers.

    python peer_client.py [URL] [TEXT ...]

Connects to a peer_worker.py at URL (tcp://127.0.0.1:4000 by default), which you may start later:
the texts wait for it. Ends by itself when all answers are there, or on Ctrl-C.
"""

import sys

from snakemq import Peer


def main(url: str = "tcp://127.0.0.1:4000", *texts: str) -> None:
    texts = texts or ("hello",)
    with Peer("client") as peer:
        peer.connect(url)
        for text in texts:
            peer.send("worker", text, codec="text")
        with peer.messages() as messages:
            for _ in texts:
                print(next(messages).content)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        print("bye")
