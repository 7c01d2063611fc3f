"""Do thousands of idle connections of a link slow down the traffic of one more?

Two echo servers in processes of their own; one of them has the idle connections as well. Both are
asked by turns, in short slices of which the best one counts: whatever else the machine does can
only make them worse. On a busy one the processor time of the server says more than the rate.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import socket
import time
from multiprocessing.connection import Connection

from snakemq.link import Link
from snakemq.packeter import Packeter

PAYLOAD = b"x" * 100
CPU_TIME = b"How much processor time have you used?"


def serve(pipe: Connection) -> None:
    """Echo packets. Tells the port, and how many connections there are when asked."""
    raise_limit_of_descriptors()
    link = Link(max_connections_per_address=None)  # all of them come from this machine
    packeter = Packeter(link)
    connected = 0

    def count(_: str) -> None:
        nonlocal connected
        connected += 1

    packeter.on_connect.add(count)
    packeter.on_packet_recv.add(
        lambda conn_id, packet: packeter.send_packet(
            conn_id, packet if packet != CPU_TIME else str(time.process_time()).encode()
        )
    )
    pipe.send(link.add_listener(("127.0.0.1", 0)))
    wanted = pipe.recv()
    packeter.on_connect.add(lambda _: link.stop() if connected == wanted else None)
    link.loop()
    pipe.send(connected)
    link.loop()


def raise_limit_of_descriptors() -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


class Client:
    """Keeps ``window`` packets on their way to an echo server and back."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.link = Link()
        self.packeter = Packeter(self.link)
        self.conn_id = ""
        self.answers = 0
        self.in_flight = 0
        self.last_answer = b""
        self.going_on = False
        self.packeter.on_connect.add(self.connected)
        self.packeter.on_packet_recv.add(self.answered)
        self.link.add_connector(address)
        self.link.loop()

    def connected(self, conn_id: str) -> None:
        self.conn_id = conn_id
        self.link.stop()

    def ask(self, question: bytes) -> None:
        self.in_flight += 1
        self.packeter.send_packet(self.conn_id, question)

    def answered(self, conn_id: str, packet: bytes) -> None:
        self.answers += 1
        self.in_flight -= 1
        self.last_answer = packet
        if self.going_on:
            self.ask(PAYLOAD)
        elif not self.in_flight:
            self.link.stop()

    def cpu_time(self) -> float:
        """Seconds that the server has used so far."""
        self.ask(CPU_TIME)
        self.link.loop()
        return float(self.last_answer)

    def measure(self, window: int, seconds: float) -> tuple[float, float]:
        """Answers per second, and seconds of processor time of the server for each."""
        cpu, begin = self.cpu_time(), time.perf_counter()
        self.answers = 0
        self.going_on = True
        for _ in range(window):
            self.ask(PAYLOAD)
        self.link.loop(runtime=seconds)
        rate = self.answers / (time.perf_counter() - begin)
        self.going_on = False
        self.link.loop()  # until the last answer is here
        answers = self.answers
        return rate, (self.cpu_time() - cpu) / answers


def idle_sockets(address: tuple[str, int], count: int) -> list[socket.socket]:
    """From many source addresses, so that no system runs out of ports."""
    sockets = []
    for number in range(count):
        sock = socket.socket()
        sock.bind((f"127.0.0.{1 + number // 2000}", 0))
        sock.connect(address)
        sockets.append(sock)
    return sockets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--idle", type=int, default=5000, help="idle connections")
    parser.add_argument("--slices", type=int, default=60, help="slices for each server")
    parser.add_argument("--seconds", type=float, default=0.1, help="length of a slice")
    parser.add_argument("--short", action="store_true", help="a few short slices only")
    options = parser.parse_args()
    slices, seconds = (10, 0.05) if options.short else (options.slices, options.seconds)
    limit = raise_limit_of_descriptors()
    if options.idle + 100 > limit:
        parser.error(f"{options.idle} connections need more than {limit} descriptors (ulimit -Hn)")

    context = multiprocessing.get_context("spawn")
    servers, clients, idle = [], [], []
    for count in (0, options.idle):
        pipe, remote = context.Pipe()
        server = context.Process(target=serve, args=(remote,), daemon=True)
        server.start()
        servers.append(server)
        address = pipe.recv()
        pipe.send(count + 1)
        idle += idle_sockets(address, count)
        clients.append(Client(address))
        assert pipe.recv() == count + 1

    print(f"echo of {len(PAYLOAD)} bytes, best of {slices} slices\n")
    crowd = f"+{options.idle} idle"
    print(f"{'':>26} {'alone':>10} {crowd:>12} {'ratio':>7}")
    for window in (1, 64):
        measures: tuple[list[tuple[float, float]], ...] = ([], [])
        for number in range(slices):
            for which in (0, 1) if number % 2 else (1, 0):
                measures[which].append(clients[which].measure(window, seconds))
        columns = ((0, "packets/s", 1.0, max), (1, "µs of CPU each", 1e6, min))
        for column, unit, factor, best in columns:
            alone, crowded = (
                best(measure[column] * factor for measure in side) for side in measures
            )
            title = f"{window} in flight, {unit}"
            print(f"{title:>26} {alone:>10,.1f} {crowded:>12,.1f} {crowded / alone:>7.3f}")
    for server in servers:
        server.terminate()
    for client in clients:
        client.link.cleanup()
    for sock in idle:
        sock.close()


if __name__ == "__main__":
    main()
