"""Lets each peer call what the rules in a file allow, and no more.

    python authorization.py serve [PATH]
    python authorization.py call alice [PATH]       in another terminal
    python authorization.py call bob [PATH]
    python authorization.py call guest-1 [PATH]

The peers are on one machine, connected by a Unix socket, over which Linux proves the user of the
other process (see UnixUsers). Each calls three methods of an object. The rules are in rules.toml,
beside this file. The server ends on Ctrl-C. Needs snakemq[rpc].
"""

import logging
import os
import sys
import threading
from pathlib import Path

from snakemq import Peer
from snakemq.identity import UnixUsers
from snakemq.policy import Rules
from snakemq.rpc import NoInstanceError, NotAllowed

RULES = Path(__file__).with_name("rules.toml")


class Counter:
    def __init__(self) -> None:
        self._lock = threading.Lock()  # several threads may call at once
        self._value = 0

    def add(self, number: int) -> int:
        with self._lock:
            self._value += number
            return self._value

    def value(self) -> int:
        return self._value

    def reset(self) -> None:
        with self._lock:
            self._value = 0


def serve(url: str) -> None:
    logging.basicConfig(stream=sys.stdout, format="%(name)s: %(message)s")
    peers = ("alice", "bob", "guest-1")
    peer = Peer(
        "server",
        authenticator=UnixUsers(dict.fromkeys(peers, os.getuid())),
        policy=Rules.from_toml(RULES),
    )
    peer.serve("counter", Counter())
    print("listening on", peer.listen(url))
    peer.run()
    print("bye")


def call(ident: str, url: str) -> None:
    with Peer(ident) as peer:
        peer.connect(url)
        counter = peer.remote("server", "counter")
        for method, args in ((counter.add, (2,)), (counter.value, ()), (counter.reset, ())):
            try:
                print(f"{method.name}: {method(*args)}")
            except NotAllowed as exc:
                print(exc)
        try:
            peer.remote("server", "vault").open()
        except NoInstanceError as exc:
            print("there is no", exc)


def main(*args: str) -> None:
    match args:
        case ["serve", *path]:
            serve(f"unix:{path[0] if path else 'snakemq.sock'}")
        case ["call", ident, *path]:
            call(ident, f"unix:{path[0] if path else 'snakemq.sock'}")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(*sys.argv[1:])
