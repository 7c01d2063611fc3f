"""A message takes what can go on the wire unchanged, and refuses everything else."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemq.message import FLAG_PERSISTENT, MAX_UUID_LENGTH, Message, MessageFlags

LONGEST_TTL = 0xFFFFFFFE


def test_defaults() -> None:
    message = Message(b"data")
    assert (message.data, message.ttl, message.flags) == (b"data", 0, 0)
    assert isinstance(message.uuid, bytes)
    assert len(message.uuid) == MAX_UUID_LENGTH == 16


def test_arguments_in_the_order_of_the_documentation() -> None:
    message = Message(b"data", 10, FLAG_PERSISTENT, b"u" * 16)
    assert (message.data, message.ttl, message.flags) == (b"data", 10, FLAG_PERSISTENT)
    assert message.uuid == b"u" * 16


def test_flag_persistent_is_bit_0_on_the_wire() -> None:
    assert FLAG_PERSISTENT == 1


@pytest.mark.parametrize("data", ["text", bytearray(b"x"), memoryview(b"x"), None, 1, [b"x"]])
def test_data_is_bytes_only(data: Any) -> None:
    with pytest.raises(TypeError, match="data must be bytes"):
        Message(data)


@pytest.mark.parametrize("ttl", [None, 0, 1, 0.5, 600, 1e-9, 4294967293.5, LONGEST_TTL])
def test_ttl_is_kept(ttl: float | None) -> None:
    assert Message(b"", ttl).ttl == ttl


@pytest.mark.parametrize(
    "ttl", [-1, -0.001, float("nan"), float("inf"), float("-inf"), LONGEST_TTL + 1, 10**400]
)
def test_ttl_that_the_wire_cannot_carry_is_refused(ttl: float) -> None:
    with pytest.raises(ValueError, match="ttl must be"):
        Message(b"", ttl)


@pytest.mark.parametrize("ttl", ["10", b"10", [], (), 1j, object()])
def test_ttl_of_a_wrong_type_is_refused(ttl: Any) -> None:
    with pytest.raises(TypeError):
        Message(b"", ttl)


@pytest.mark.parametrize("flags", [0, 1, 0x80000000, 0xFFFFFFFF])
def test_flags_are_kept(flags: int) -> None:
    assert Message(b"", flags=flags).flags == flags


def test_flags_of_the_enum_become_a_plain_int() -> None:
    unknown = 0x80000000
    message = Message(b"", flags=MessageFlags.PERSISTENT | unknown)
    assert (message.flags, type(message.flags)) == (FLAG_PERSISTENT | unknown, int)
    assert type(Message(b"", flags=MessageFlags(0)).flags) is int


def test_persistent_is_bit_0_as_in_1_6() -> None:
    assert type(FLAG_PERSISTENT) is int
    assert FLAG_PERSISTENT == MessageFlags.PERSISTENT == 1


@pytest.mark.parametrize("flags", [-1, 0x100000000])
def test_flags_beyond_32_bits_are_refused(flags: int) -> None:
    with pytest.raises(ValueError, match="32 bits"):
        Message(b"", flags=flags)


@pytest.mark.parametrize("flags", ["1", 1.0, 0.0, None, "", b"", []])
def test_flags_of_a_wrong_type_are_refused(flags: Any) -> None:
    with pytest.raises(TypeError, match="flags must be an int"):
        Message(b"", flags=flags)


@pytest.mark.parametrize("uuid", [b"", b"u" * 15, b"u" * 17])
def test_uuid_of_a_wrong_length_is_refused(uuid: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        Message(b"", uuid=uuid)


@pytest.mark.parametrize("uuid", ["u" * 16, bytearray(16), 5])
def test_uuid_of_a_wrong_type_is_refused(uuid: Any) -> None:
    with pytest.raises(TypeError, match="uuid must be bytes"):
        Message(b"", uuid=uuid)


def test_repr_shows_the_size_and_not_the_data() -> None:
    message = Message(b"secret", 5, 1, bytes(range(16)))
    assert repr(message) == (
        "<Message uuid=000102030405060708090a0b0c0d0e0f ttl=5.0 flags=0x1 len=6>"
    )


def test_uuids_are_unique() -> None:
    assert len({Message(b"").uuid for _ in range(20_000)}) == 20_000


def test_uuids_are_unique_across_threads() -> None:
    found: list[bytes] = []

    def make() -> None:
        found.extend([Message(b"").uuid for _ in range(5_000)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(found) == len(set(found)) == 20_000


FORKING = """
import os
from snakemq.message import Message

Message(b"")
readable, writable = os.pipe()
child = os.fork()
uuids = b"".join(Message(b"").uuid for _ in range(1000))
if not child:
    os.write(writable, uuids)
    os._exit(0)
os.waitpid(child, 0)
uuids += os.read(readable, 16000)
print(len({uuids[i : i + 16] for i in range(0, len(uuids), 16)}))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_uuids_are_unique_across_a_fork() -> None:
    output = subprocess.run(  # another process, because pytest may have threads
        [sys.executable, "-c", FORKING], check=True, capture_output=True, timeout=120
    ).stdout
    assert output.strip() == b"2000"


@given(
    data=st.binary(),
    ttl=st.none() | st.floats(0, LONGEST_TTL),
    flags=st.integers(0, 0xFFFFFFFF),
    uuid=st.binary(min_size=16, max_size=16),
)
def test_what_is_accepted_is_kept_exactly(
    data: bytes, ttl: float | None, flags: int, uuid: bytes
) -> None:
    message = Message(data, ttl, flags, uuid)
    assert (message.data, message.ttl, message.flags, message.uuid) == (data, ttl, flags, uuid)
