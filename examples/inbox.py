"""A receiver that still knows after a restart what it has processed.

    python inbox.py [PORT] [FILE]

Listens on 127.0.0.1:PORT (4000 by default; 0 picks a free one) as "listener", and records each
message in FILE after processing it and before acknowledging it. Send to it with
persistent_queue.py, and kill either side as often as you like: a recorded message is not printed
again. Ends on Ctrl-C. Needs snakemq[sqlite].
"""

import sys

from snakemq import Peer
from snakemq.peer import ReceivedMessage


def main(port: str = "4000", filename: str = "inbox.db") -> None:
    # One file for both: waiting messages, and the uuids of messages that were processed.
    url = f"sqlite:///{filename}"
    peer = Peer("listener", storage=url, inbox=url)

    @peer.on_message
    def on_message(message: ReceivedMessage) -> None:
        print(f"{message.sender.ident}: {message.content}")

    print("listening on", peer.listen(f"tcp://127.0.0.1:{port}"))
    peer.run()
    print("bye")


if __name__ == "__main__":
    main(*sys.argv[1:])
