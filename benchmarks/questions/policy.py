"""What does a policy cost a call, and does it matter how many rules it has?

Three parts of it: the rules answer, the front of the request is read, and the request is compared
with it. Then all of it together, as the server of a real request does it, beside the same request
without a policy. Best of several rounds, in µs: whatever else the machine does only adds to them.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Callable
from timeit import repeat

from snakemq.identity import Identity
from snakemq.link.testing import MemoryNetwork
from snakemq.message import Message
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.policy import Allow, Deny, Rules
from snakemq.rpc import RpcServer, SafePickler, inline
from snakemq.rpc._front import is_front_of, read_front
from snakemq.rpc._protocol import REQUEST_PREFIX, check_request

COUNTS = (1, 1_000, 100_000)
IDENT = "peer-0"


class Calculator:
    @inline
    def add(self, one: int, other: int) -> int:
        return one + other


def rules(count: int) -> Rules:
    """Rules of every kind, of which a few are about the peer that asks."""
    made: list[Allow | Deny] = [Allow("@operators", message=True, call="calculator.*")]
    for number in range(1, count):
        kind = Deny if number % 3 == 0 else Allow
        made.append(kind([f"peer-{number}", IDENT], call=f"object-{number}.method"))
    return Rules(made, groups={"operators": [IDENT]})


def best(func: Callable[[], object], rounds: int) -> float:
    """Return the µs of one call."""
    number = 10_000
    return min(repeat(func, number=number, repeat=rounds)) / number * 1e6


def request(method: str = "add") -> bytes:
    return SafePickler().dumps(
        {
            "req_id": b"0123456789abcdef",
            "timeout": 3.0,
            "command": "call",
            "object": "calculator",
            "method": method,
            "args": (1, 2),
            "kwargs": {},
        }
    )


class Server:
    """A server that gets requests without a network, and whose replies go nowhere."""

    def __init__(self, policy: Rules | None) -> None:
        network = MemoryNetwork()
        links = [network.link(name) for name in ("server", IDENT)]
        self.messaging, client = (
            Messaging(name, "", Packeter(link))
            for name, link in zip(("server", IDENT), links, strict=True)
        )
        self.messaging.policy = policy
        self.server = RpcServer(ReceiveHook(self.messaging), threads=0)
        self.server.register_object(Calculator(), "calculator")
        self.conn_id, _ = network.connect(*links)
        network.run_until_idle()
        assert client.is_connected("server")
        self.messaging.send_message = lambda *_, **__: b""  # type: ignore[method-assign]
        self.on_request = self.messaging.on_message_recv.callbacks[0]
        self.number = 0
        self.body = request()

    def take(self) -> None:
        self.number += 1
        body = self.body.replace(b"0123456789abcdef", b"%016d" % self.number)
        self.on_request(self.conn_id, IDENT, Message(REQUEST_PREFIX + body))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--short", action="store_true", help="3 rounds")
    options = parser.parse_args()
    rounds = 3 if options.short else options.rounds

    identity, body = Identity(IDENT), request()
    ours = REQUEST_PREFIX + body
    old = REQUEST_PREFIX + pickle.dumps(pickle.loads(body), 3)
    front = read_front(ours)
    decoded = check_request(pickle.loads(body))
    assert front is not None
    print(f"{'':<40} {'µs':>8}")
    for count in COUNTS:
        policy = rules(count)
        assert policy.allows(identity, "call", "calculator.add")
        took = best(lambda policy=policy: policy.allows(identity, "call", "calculator.add"), rounds)  # type: ignore[misc]
        print(f"{f'an answer of {count:,} rules':<40} {took:>8.2f}")
    print(f"{'the front of our request':<40} {best(lambda: read_front(ours), rounds):>8.2f}")
    print(f"{'the front of a request of 1.6':<40} {best(lambda: read_front(old), rounds):>8.2f}")
    print(f"{'the comparison':<40} {best(lambda: is_front_of(front, decoded), rounds):>8.2f}")
    without, with_policy = Server(None), Server(rules(1_000))
    for title, server in (("without a policy", without), ("with 1,000 rules", with_policy)):
        print(f"{f'a whole request, {title}':<40} {best(server.take, rounds):>8.2f}")


if __name__ == "__main__":
    main()
