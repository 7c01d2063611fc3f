"""Does one job after another for a producer.

    python worker.py [NAME] [URL] [SECONDS]

Connects to a producer.py at URL (tcp://127.0.0.1:4000 by default) as NAME (worker-1), which no
other worker may have. A job takes SECONDS (0.1 by default); its result is a square. On SIGTERM or
Ctrl-C it finishes its job and ends.
"""

import sys
import time

from snakemq import Peer
from snakemq.peer import ReceivedMessage


def main(
    name: str = "worker-1", url: str = "tcp://127.0.0.1:4000", seconds: float | str = 0.1
) -> None:
    peer = Peer(name)

    @peer.on_message
    def work(message: ReceivedMessage) -> None:
        job = message.content
        print("begin", job, flush=True)
        time.sleep(float(seconds))
        # The job is acknowledged when the producer has its result, and not before.
        result = {"uuid": message.uuid.hex(), "result": job * job}
        message.reply(result, codec="json").wait()

    peer.connect(url)
    peer.run()
    print("bye")


if __name__ == "__main__":
    main(*sys.argv[1:])
