"""Receives files of any size from sender.py, each from one sender at a time.

    python receiver.py [URL] [FOLDER]

Listens at URL (tcp://127.0.0.1:4000 by default; port 0 is any free one), and writes what arrives to
FOLDER (received). An unfinished file is called NAME.part. It gets its name when its checksum is
right; otherwise it is deleted. Ends on SIGTERM or Ctrl-C. Needs snakemq[rpc].
"""

import hashlib
import os
import sys
from pathlib import Path

from snakemq import Peer
from snakemq.messaging import Reject
from snakemq.peer import ReceivedMessage


class Files:
    """What a sender may call."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, name: str) -> int:
        """Return how many bytes of a file are here: the sender may leave these out."""
        part = self.part_of(name)
        part.touch()
        return part.stat().st_size

    def finish(self, name: str, digest: str) -> None:
        """Give a complete file its name, if its checksum is right."""
        part = self.part_of(name)
        with part.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            part.unlink()
            raise ValueError(f"the SHA-256 of {name} is {found} here: send it again")
        os.replace(part, self._folder / name)
        print("received", name, flush=True)

    def part_of(self, name: str) -> Path:
        """Return the path of a file that is not complete."""
        if name != Path(name).name or name.startswith("."):
            raise ValueError(f"{name!r} is not the name of a file")  # it could be anywhere
        return self._folder / f"{name}.part"


def main(url: str = "tcp://127.0.0.1:4000", folder: str = "received") -> None:
    Path(folder).mkdir(exist_ok=True)
    files = Files(Path(folder))
    peer = Peer("receiver")
    peer.serve("files", files, methods=["begin", "finish"])

    @peer.on_message
    def write(message: ReceivedMessage) -> None:
        offset = int(message.headers["offset"])
        with files.part_of(message.headers["name"]).open("r+b") as part:
            if offset > part.seek(0, os.SEEK_END):
                raise Reject("something is missing before this chunk")
            part.seek(offset)
            part.write(message.data)

    print("listening on", peer.listen(url), flush=True)
    peer.run()
    print("bye")


if __name__ == "__main__":
    main(*sys.argv[1:])
