"""A process that starts with a long backlog for one peer: time, memory, order.

    python -m benchmarks.questions.backlog [FOLDER] [--messages 1000 10000 1000000] [--only NAME]

FOLDER: on the disk that is meant, for the SQLite file; the servers keep theirs in the system's
folder for temporary files. Needs snakemq[all] and the servers of tests/servers; one that is not
installed is left out. The messages have 200 bytes. Sender and receiver are processes of their own,
on the loopback.

open: until ``Messaging(queues_storage=...)`` is made. first: from the connection to the delivery of
the first message. rate: messages per second from the first to the last one, each deleted from the
storage. memory: the highest of the sender's resident memory, and what it was before the storage was
opened. sent while away: the same number is sent to a peer that is away, with ``send_messages``;
memory of that process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing

from snakemq.queues import open_storage
from tests.servers import MariaDb, MongoDb, PostgreSql, ServerNotFound

ENGINES = {"sqlite": None, "postgresql": PostgreSql, "mariadb": MariaDb, "mongodb": MongoDb}
SIZE = 200
BATCH = 1000

COMMON = """
import json, sys, time
from pathlib import Path
from snakemq.link import Link
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter

def memory(name):
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) / 1024
"""

RECEIVE = (
    COMMON
    + """
total = int(sys.argv[1])
link = Link()
messaging = Messaging("receiver", "", Packeter(link))
print(link.add_listener(("127.0.0.1", 0))[1], flush=True)
count, times = 0, {}

def connected(conn_id, ident):
    times["connected"] = time.perf_counter()

def received(conn_id, ident, message):
    global count
    if not count:
        times["first"] = time.perf_counter()
    assert int.from_bytes(message.data[:4], "big") == count, "out of order"
    count += 1
    if count == total:
        times["last"] = time.perf_counter()
        link.stop()

messaging.on_connect.add(connected)
messaging.on_message_recv.add(received)
link.loop(runtime=600)
assert count == total, f"{count} of {total} messages"
link.loop(runtime=0.5)  # the last acks
print(json.dumps(times))
link.cleanup()
"""
)

SEND = (
    COMMON
    + """
url, port, total = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
before = memory("VmRSS")
link = Link()
began = time.perf_counter()
messaging = Messaging("sender", "", Packeter(link), url)
opened = time.perf_counter() - began
delivered = 0

def ack(conn_id, ident, uuid):
    global delivered
    delivered += 1
    if delivered == total:
        link.stop()

messaging.on_message_delivered.add(ack)
messaging.on_error.add(lambda conn_id, error: print(repr(error), file=sys.stderr))
link.add_connector(("127.0.0.1", port))
link.loop(runtime=600)
messaging.queues_storage.get_queues()
messaging.close()
print(json.dumps({"open": opened, "before": before, "peak": memory("VmHWM")}))
link.cleanup()
"""
)

ACCEPT = (
    COMMON
    + """
import threading
url, total, size, batch = sys.argv[1], *map(int, sys.argv[2:])
link = Link()
messaging = Messaging("sender", "", Packeter(link), url)
loop = threading.Thread(target=link.loop)
loop.start()
for begin in range(0, total, batch):
    messaging.send_messages("receiver", [
        Message(n.to_bytes(4, "big") + bytes(size - 4), None, FLAG_PERSISTENT)
        for n in range(begin, begin + batch)
    ])
link.stop()
loop.join()
peak = memory("VmHWM")
messaging.close()
print(json.dumps({"peak": peak}))
link.cleanup()
"""
)


def run(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def result(process: subprocess.Popen[str]) -> dict[str, float]:
    output, _ = process.communicate(timeout=700)
    if process.returncode:
        sys.exit(f"a process ended with {process.returncode}")
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    return figures


def measure(url: str, total: int) -> str:
    accepted = result(run(ACCEPT, url, total, SIZE, BATCH))
    receiver = run(RECEIVE, total)
    assert receiver.stdout is not None
    port = receiver.stdout.readline().strip()
    sent = result(run(SEND, url, port, total))
    times = result(receiver)
    with closing(open_storage(url)) as storage:
        assert not storage.get_queues(), "not everything was deleted"
    first = times["first"] - times["connected"]
    rate = (total - 1) / (times["last"] - times["first"])
    return (
        f"{sent['open']:8.3f} s {first:8.3f} s {rate:12,.0f}/s {sent['peak']:10.0f} MiB"
        f" ({sent['before']:.0f}) {accepted['peak']:16.0f} MiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default=tempfile.gettempdir())
    parser.add_argument(
        "--messages", type=int, nargs="+", default=[1000, 10_000, 100_000, 1_000_000]
    )
    parser.add_argument("--only", choices=ENGINES)
    arguments = parser.parse_args()
    print(
        f"{'':11} {'messages':>9} {'open':>10} {'first':>10} {'rate':>14} {'memory':>19}"
        f" {'sent while away':>20}"
    )
    for name, kind in ENGINES.items():
        if arguments.only not in (None, name):
            continue
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=arguments.folder))
            url = f"sqlite:///{folder}/queue.db"
            if kind is not None:
                try:
                    url = stack.enter_context(kind()).url
                except ServerNotFound as error:
                    print(f"{name}: {error}")
                    continue
            for total in arguments.messages:
                print(f"{name:11} {total:9,} {measure(url, total)}", flush=True)


if __name__ == "__main__":
    main()
