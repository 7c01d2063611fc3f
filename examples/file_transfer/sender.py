"""Sends a file of any size, with a progress bar, and goes on where it was after a break.

    python sender.py FILE [URL]

Sends FILE to receiver.py at URL (tcp://127.0.0.1:4000 by default). If the connection is cut, or the
receiver is killed and started again, it goes on by itself. If this process is killed, start it
again: it sends only what the receiver does not have. However slow the receiver is, at most 6 MB are
on their way, and in memory. Needs snakemq[rpc].
"""

import hashlib
import sys
from collections import deque
from pathlib import Path

from snakemq import Peer
from snakemq.messaging import Receipt

CHUNK = 60_000
"""Bytes. Messages of more than 64 KiB could overtake each other."""

CHUNKS_ON_THEIR_WAY = 100


def show(done: int, size: int) -> None:
    percent = 100 * done // size if size else 100
    print(f"\r{percent:3} % [{'#' * (percent // 2):50}]", end="", flush=True)


def main(filename: str, url: str = "tcp://127.0.0.1:4000") -> None:
    path = Path(filename)
    size = path.stat().st_size
    with Peer("sender") as peer, path.open("rb") as file:
        peer.connect(url)
        files = peer.remote("receiver", "files")
        begin = done = files.begin(path.name)
        print("begins at", begin)
        file.seek(begin)
        on_their_way: deque[tuple[int, Receipt]] = deque()
        while chunk := file.read(CHUNK):
            headers = {"name": path.name, "offset": str(file.tell() - len(chunk))}
            on_their_way.append((file.tell(), peer.send("receiver", chunk, headers=headers)))
            if len(on_their_way) == CHUNKS_ON_THEIR_WAY:
                done, receipt = on_their_way.popleft()
                receipt.wait()  # until the receiver has written it
                show(done, size)
        for done, receipt in on_their_way:
            receipt.wait()
            show(done, size)
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        files.finish(path.name, digest)
        print("\nsent", size, "bytes, SHA-256", digest)


if __name__ == "__main__":
    main(*sys.argv[1:])
