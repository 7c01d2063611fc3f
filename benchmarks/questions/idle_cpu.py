"""What does a connected pair cost while nothing happens?

Both sides are processes of their own, each with a listener, a connection and a packeter.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from multiprocessing.connection import Connection

from snakemq.link import Address, Link
from snakemq.packeter import Packeter

SETTLE = 0.5


def run(pipe: Connection, seconds: float) -> None:
    link = Link()
    Packeter(link)
    pipe.send(link.add_listener(("127.0.0.1", 0)))
    address: Address | None = pipe.recv()
    if address is not None:
        link.add_connector(address)
    link.on_connect.add(lambda _: link.stop())
    link.loop()
    link.loop(runtime=SETTLE)

    passes = 0

    def count() -> None:
        nonlocal passes
        passes += 1

    link.on_loop_pass.add(count)
    cpu, switches, begin = time.process_time(), switches_so_far(), time.perf_counter()
    link.loop(runtime=seconds)
    lasted = time.perf_counter() - begin
    # the last pass is the end of the run, not a wake-up
    pipe.send(((time.process_time() - cpu) / lasted, (passes - 1) / lasted,
               (switches_so_far() - switches - 1) / lasted))  # fmt: skip
    pipe.recv()


def switches_so_far() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--short", action="store_true", help="2 seconds")
    options = parser.parse_args()
    seconds = 2.0 if options.short else options.seconds

    context = multiprocessing.get_context("spawn")
    pipes = []
    for _ in range(2):
        pipe, remote = context.Pipe()
        context.Process(target=run, args=(remote, seconds), daemon=True).start()
        pipes.append(pipe)
    listening, dialling = pipes
    address = listening.recv()
    dialling.recv()
    listening.send(None)
    dialling.send(address)

    print(f"idle for {seconds:g} s\n")
    print(f"{'side':>10} {'CPU':>9} {'wake-ups/s':>11} {'waits/s':>9}")
    for name, pipe in (("listening", listening), ("dialling", dialling)):
        cpu, wakeups, switches = pipe.recv()
        print(f"{name:>10} {cpu:>8.4%} {wakeups:>11.2f} {switches:>9.2f}")
    for pipe in pipes:
        pipe.send("end")


if __name__ == "__main__":
    main()
