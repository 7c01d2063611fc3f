"""A packet of 300 MiB over real sockets: what it costs the sender and the receiver in memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

STATUS = Path("/proc/self/status")
pytestmark = pytest.mark.skipif(not STATUS.exists(), reason="it tells the peak of the memory")

SIZE = 300 * 1024 * 1024

COMMON = """
import re, sys
from snakemq.link import Link
from snakemq.packeter import Packeter

def peak():
    with open("/proc/self/status") as status:
        return 1024 * int(re.search(r"VmHWM:\\s*(\\d+) kB", status.read())[1])

size = int(sys.argv[1])
way = sys.argv[2]
link = Link()
packeter = Packeter(link)
before = peak()
"""

RECEIVER = (
    COMMON
    + """
print(link.add_listener(("127.0.0.1", 0))[1], flush=True)

def on_packet_recv(conn_id, packet):
    assert len(packet) == size and packet.count(b"x") == size
    link.stop()

def on_packets_recv(conn_id, packets):
    on_packet_recv(conn_id, packets[0])

if way == "batches":
    packeter.on_packets_recv.add(on_packets_recv)
else:
    packeter.on_packet_recv.add(on_packet_recv)
if way == "beside a layer":
    packeter.split_large(29)  # as messaging does
    packeter.on_packets_recv.add(lambda conn_id, packets: None)
link.loop(runtime=60)
print((peak() - before) / size)
"""
)

SENDER = (
    COMMON
    + """
packeter.on_connect.add(lambda conn_id: packeter.send_packet(conn_id, b"x" * size))
packeter.on_packet_sent.add(lambda conn_id, packet_id: link.stop())
link.add_connector(("127.0.0.1", int(sys.argv[3])))
link.loop(runtime=60)
print((peak() - before) / size)
"""
)


@pytest.mark.parametrize("way", ["one by one", "batches", "beside a layer"])
def test_sender_and_receiver_of_a_large_packet_have_it_in_memory_once(way: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", RECEIVER, str(SIZE), way], stdout=subprocess.PIPE, text=True
    ) as receiver:
        assert receiver.stdout is not None
        try:
            port = receiver.stdout.readline().strip()
            sender = subprocess.run(
                [sys.executable, "-c", SENDER, str(SIZE), way, port],
                stdout=subprocess.PIPE,
                text=True,
                timeout=90,
                check=True,
            )
            received, _ = receiver.communicate()
        finally:
            receiver.kill()
    assert 0.99 <= float(sender.stdout) < 1.1
    assert 0.99 <= float(received) < 1.1
