"""Connections that say nothing, too little, the wrong thing, or come in masses."""

from __future__ import annotations

import ssl
import struct
import time
from contextlib import suppress
from pathlib import Path

import pytest
import trustme

from snakemq.exceptions import (
    SnakeMQDuplicateIdent,
    SnakeMQPacketTooLarge,
    SnakeMQTimeout,
)
from snakemq.link import Address, SSLConfig
from tests.support.running_stack import Stack

from .conftest import FRIEND, MakeStranger, MakeVictim, Victim
from .stranger import PING, PONG, VERSION, Stranger, identification, message, packet, packets

INTRODUCTION = packets(VERSION, identification("stranger"))


def connection_count(victim: Victim) -> int:
    return victim.in_loop(lambda: len(victim.link._table.connections))


# -- silence


@pytest.fixture
def hasty(victim: Victim) -> Victim:
    """It does not wait long for an introduction."""
    victim.messaging.identification_timeout = 0.3
    return victim


def test_a_silent_stranger_is_disconnected_in_time(hasty: Victim, stranger: Stranger) -> None:
    begin = time.monotonic()
    hasty.assert_refused(stranger, SnakeMQTimeout, "identification")
    assert 0.2 < time.monotonic() - begin < 30


@pytest.mark.parametrize(
    "drop", [packet(PING), packet(VERSION), None], ids=["pings", "versions", "slow-loris"]
)
def test_saying_anything_but_an_ident_does_not_buy_time(
    hasty: Victim, stranger: Stranger, drop: bytes | None
) -> None:
    introduction = iter(packet(b"\xff" + bytes(4000)))
    begin = time.monotonic()
    while not hasty.problems:
        assert time.monotonic() - begin < 30
        stranger.send(drop or bytes([next(introduction)]))
        with suppress(AssertionError):  # nothing happens: the next drop, then
            hasty.until(lambda: hasty.problems, timeout=0.01)
    hasty.assert_refused(stranger, SnakeMQTimeout, "identification")


def test_a_slow_peer_that_is_in_time_is_served(victim: Victim, stranger: Stranger) -> None:
    for byte in INTRODUCTION + packet(message(b"one byte at a time")):
        stranger.send(bytes([byte]))
    victim.until(lambda: [it for it in victim.received if it.ident == "stranger"])
    assert victim.received[-1].data == b"one byte at a time"


# -- masses


def test_no_more_connections_than_the_limit(make_victim: MakeVictim) -> None:
    limit = 20
    victim = make_victim(max_connections=limit)
    strangers = []
    for number in range(3 * limit):
        strangers.append(stranger := Stranger(victim.address))
        stranger.introduce(f"stranger {number}")
        if number < limit - 1:
            victim.until_connected(f"stranger {number}")  # else it gives way to the others
    turned_away = [stranger for stranger in strangers if stranger.hear() is None]
    assert len(turned_away) == 3 * limit - (limit - 1)  # the friend is one, too
    assert connection_count(victim) == limit
    victim.assert_serving()
    for stranger in strangers:
        stranger.reset()
    newcomer = Stack("newcomer")
    newcomer.dial(victim.address)
    newcomer.until_connected("victim")
    newcomer.close()


def test_those_who_do_not_introduce_themselves_give_way(make_victim: MakeVictim) -> None:
    victim = make_victim(max_connections=10)
    silent = [Stranger(victim.address) for _ in range(20)]
    newcomer = Stranger(victim.address)
    newcomer.introduce("newcomer")
    victim.until_connected("newcomer")
    assert FRIEND not in victim.disconnected
    silent[0].hear_to_the_end()  # there is one
    newcomer.close()
    for stranger in silent:
        stranger.close()


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize(
    "last_words",
    [b"", b"\0", b"\0\0\0\x05\0", INTRODUCTION, INTRODUCTION + b"\0\0\x10\0\x03half a message"],
    ids=["nothing", "half-header", "half-packet", "introduced", "half-message"],
)
def test_scans_and_connections_that_break_anywhere(
    victim: Victim, make_stranger: MakeStranger, last_words: bytes, end: str
) -> None:
    for _ in range(50):
        stranger = make_stranger()
        stranger.send(last_words)
        getattr(stranger, end)()
    victim.assert_serving()
    victim.until(
        lambda: victim.connected.count("stranger") == victim.disconnected.count("stranger")
    )
    newcomer = make_stranger()
    newcomer.introduce("newcomer")
    newcomer.assert_welcome()
    assert connection_count(victim) == 2


# -- the wrong protocol


@pytest.mark.parametrize(
    "words",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(508),  # TLS
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\xff" * 1000,
    ],
    ids=["tls", "http", "ssh", "noise"],
)
def test_bytes_of_other_protocols_are_refused(
    victim: Victim, stranger: Stranger, words: bytes
) -> None:
    stranger.send(words)
    victim.assert_refused(stranger, SnakeMQPacketTooLarge, "was announced")


@pytest.fixture
def tls_address(victim: Victim, tmp_path: Path) -> Address:
    """The victim listens with TLS, too."""
    ca = trustme.CA()
    cert = ca.issue_cert("localhost")
    key_file, cert_file = str(tmp_path / "key"), str(tmp_path / "cert")
    cert.private_key_pem.write_to_path(key_file)
    cert.cert_chain_pems[0].write_to_path(cert_file)
    ca.cert_pem.write_to_path(tmp_path / "ca")
    ca_file = str(tmp_path / "ca")
    config = SSLConfig(key_file, cert_file, ca_certs=ca_file, cert_reqs=ssl.CERT_REQUIRED)
    return victim.listen(ssl_config=config)


@pytest.mark.parametrize(
    "words",
    [INTRODUCTION, b"\xff" * 1000, b"\x16\x03\x01\x02\x00\x01" + bytes(600), b"GET / HTTP/1.0\r\n"],
    ids=["plain", "noise", "broken-hello", "http"],
)
def test_garbage_for_a_tls_listener(victim: Victim, tls_address: Address, words: bytes) -> None:
    stranger = Stranger(tls_address)
    stranger.send(words)
    assert VERSION not in stranger.hear_to_the_end()
    stranger.close()
    assert connection_count(victim) == 1


def test_a_tls_handshake_that_never_ends(make_victim: MakeVictim, tmp_path: Path) -> None:
    victim = make_victim(handshake_timeout=0.2)
    ca = trustme.CA()
    ca.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "cert")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert")
    stranger = Stranger(victim.listen(ssl_config=SSLConfig(context=context)))
    stranger.send(b"\x16\x03\x01")
    assert stranger.hear_to_the_end() == []
    stranger.close()
    assert connection_count(victim) == 1


# -- names that are taken


def test_a_claim_to_the_name_of_a_living_peer_is_refused(
    victim: Victim, stranger: Stranger
) -> None:
    stranger.introduce(FRIEND)
    stranger.say(message(b"I am your friend"))
    victim.assert_refused(stranger, SnakeMQDuplicateIdent, FRIEND)
    assert b"I am your friend" not in [it.data for it in victim.received]


def test_a_peer_that_does_not_answer_is_replaced_when_it_comes_back(
    victim: Victim, make_stranger: MakeStranger
) -> None:
    silent, successor = make_stranger(), make_stranger()
    silent.introduce("bob")
    victim.until_connected("bob")
    successor.introduce("bob")
    successor.say(message(b"first"), message(b"second"))
    assert PING in victim.assert_refused(silent, SnakeMQTimeout, "bob")
    victim.until(lambda: [it.data for it in victim.received] == [b"first", b"second"])
    successor.assert_welcome()


def test_a_third_one_is_refused_while_two_contest_a_name(
    victim: Victim, make_stranger: MakeStranger
) -> None:
    owner, second, third = make_stranger(), make_stranger(), make_stranger()
    owner.introduce("bob")
    victim.until_connected("bob")
    second.introduce("bob")
    owner.hear_until(4)
    third.introduce("bob")
    victim.assert_refused(third, SnakeMQDuplicateIdent, "bob")
    owner.say(PONG)
    second.hear_to_the_end()
    owner.assert_welcome()
    assert victim.connected.count("bob") == 1


def test_a_challenger_may_not_send_masses_meanwhile(
    victim: Victim, make_stranger: MakeStranger
) -> None:
    victim.messaging.keepalive_wait = 15
    owner, second = make_stranger(), make_stranger()
    owner.introduce("bob")
    victim.until_connected("bob")
    second.introduce("bob")
    for _ in range(100):
        second.say(message(bytes(100_000)))
    victim.assert_refused(second, SnakeMQDuplicateIdent, "too much")
    owner.say(PONG)
    owner.assert_welcome()


def test_half_a_large_message_from_a_challenger(
    victim: Victim, make_stranger: MakeStranger
) -> None:
    owner, second = make_stranger(), make_stranger()
    owner.introduce("bob")
    victim.until_connected("bob")
    second.introduce("bob")
    second.send(struct.pack("!I", 50_000_000) + bytes(1000))
    owner.hear_until(4)
    owner.say(PONG)
    victim.assert_refused(second, SnakeMQDuplicateIdent, "bob")
    owner.assert_welcome()
