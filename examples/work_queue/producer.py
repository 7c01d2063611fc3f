"""Has any number of workers do its jobs, and gives a job to another one when its worker is gone.

    python producer.py [URL] [JOBS]

Listens at URL (tcp://127.0.0.1:4000 by default; port 0 is any free one), has JOBS (20 by default)
jobs done by the workers that connect, prints the results, and ends. See worker.py. Workers may come
and go at any time.

What this promises: each job has a result, also if workers are killed. A job may be done twice, if
its worker was lost before the result was here; then one of the results is taken. The jobs are in
the memory of this process: if it ends, they end with it.
"""

import sys
from collections import deque

from snakemq import Peer
from snakemq.messaging import Receipt

SECONDS_BETWEEN_LOOKS = 0.2
"""How soon a new worker gets a job, and a lost job a new worker."""


def main(url: str = "tcp://127.0.0.1:4000", count: int | str = 20) -> None:
    jobs = deque(range(int(count)))
    given: dict[str, tuple[int, Receipt]] = {}  # by the uuid of the message; one for each worker
    results: dict[int, int] = {}
    with Peer("producer") as peer, peer.messages(timeout=SECONDS_BETWEEN_LOOKS) as messages:
        print("listening on", peer.listen(url), flush=True)
        while len(results) < int(count):
            for uuid, (job, receipt) in [*given.items()]:
                if receipt.is_done:  # there is no result, so the worker has gone, or given it up
                    del given[uuid]
                    jobs.appendleft(job)
                    print(receipt.ident, "has lost", job, flush=True)
            busy = {receipt.ident for _, receipt in given.values()}
            for worker in [it for it in peer.peers() if it not in busy][: len(jobs)]:
                job = jobs.popleft()
                # With ttl=0 it is for a worker that is connected now, and waits for nobody.
                receipt = peer.send(worker, job, codec="json", ttl=0)
                given[receipt.uuid.hex()] = job, receipt
            message = next(messages, None)
            if message is not None and message.content["uuid"] in given:
                job, _ = given.pop(message.content["uuid"])
                results[job] = message.content["result"]
                print(message.sender.ident, "has done", job, flush=True)
                message.ack()
    print("results", *(results[job] for job in sorted(results)))


if __name__ == "__main__":
    main(*sys.argv[1:])
