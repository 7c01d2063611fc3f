"""TLS with pre-shared keys instead of certificates."""

from __future__ import annotations

import ssl
import sys
import threading
from collections.abc import Callable
from functools import partial

import pytest
from certificates import Authority
from real_links import LOCALHOST, DiaryLink, run_until, running

from snakemq.exceptions import ConnectFailed
from snakemq.link import CertificateCheck, SSLConfig

needs_keys = pytest.mark.skipif(
    sys.version_info < (3, 13) or not ssl.HAS_PSK, reason="ssl has no pre-shared keys"
)

ALICE = b"alice's key, 32 bytes of randomn"
BOB = b"bob's key, another 32 bytes of i"

NewLink = Callable[..., DiaryLink]


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="ssl has pre-shared keys")
def test_old_python_refuses_keys_when_the_configuration_is_made() -> None:
    with pytest.raises(ValueError, match=r"needs Python 3\.13"):
        SSLConfig(psk=("alice", ALICE))


def refusals(link: DiaryLink) -> list[str]:
    """Collect why the connections of a link fail."""
    reasons: list[str] = []

    def note(address: object, error: ConnectFailed) -> None:
        reasons.append(str(error))

    link.on_connect_failed.add(note)
    return reasons


@needs_keys
def test_both_sides_prove_that_they_know_the_key(link: DiaryLink, other: DiaryLink) -> None:
    address = link.add_listener(LOCALHOST, SSLConfig(psk={"alice": ALICE, "bob": BOB}))
    other.add_connector(address, ssl_config=SSLConfig(psk=("alice", ALICE)))
    run_until(lambda: link.open and other.open, link, other)
    for side in (link, other):
        credentials = side.peer_credentials(side.open[0])
        assert credentials.is_tls
        assert credentials.psk_identity == "alice"
        assert credentials.knows_key(ALICE)
        assert not credentials.knows_key(BOB)
        assert credentials.checked_against is CertificateCheck.NONE
        assert credentials.certificate is None
        assert "alice's key" not in repr(credentials)
    link.send(link.open[0], b"hello")
    run_until(lambda: other.received[other.open[0]] == b"hello", link, other)


@needs_keys
def test_handshakes_of_two_peers_at_once_are_not_mixed_up(new_link: NewLink) -> None:
    """Both links share one configuration, and each goes on in its own thread."""
    keys = {f"peer {number}": bytes([number]) * 32 for number in range(1, 17)}
    config = SSLConfig(psk=keys)
    listening = [new_link(), new_link()]
    addresses = [side.add_listener(LOCALHOST, config) for side in listening]
    proven: list[tuple[str | None, bool]] = []
    all_there = threading.Event()

    def note(side: DiaryLink, conn_id: str) -> None:
        credentials = side.peer_credentials(conn_id)
        knows = credentials.knows_key(keys[credentials.psk_identity or ""])
        side.send(conn_id, (credentials.psk_identity or "").encode())
        proven.append((credentials.psk_identity, knows))
        if len(proven) == 2 * len(keys):
            all_there.set()

    dialling: list[tuple[str, DiaryLink]] = []
    for side, address in zip(listening, addresses, strict=True):
        side.on_connect.add(partial(note, side))
        for identity, key in keys.items():
            client = new_link()
            client.add_connector(address, ssl_config=SSLConfig(psk=(identity, key)))
            dialling.append((identity, client))
    with running(*listening):
        run_until(all_there.is_set, *(client for _, client in dialling))
        for identity, client in dialling:
            received = client.received[client.open[0]]
            run_until(partial(bool, received), client)
            assert received.decode() == identity
    assert sorted(proven) == sorted([(identity, True) for identity in keys] * 2)


@needs_keys
@pytest.mark.parametrize(
    ("identity", "key", "why_here", "why_there"),
    [
        (
            "alice",
            BOB,
            "the peer has another pre-shared key",
            "has another pre-shared key",
        ),
        ("carol", BOB, "the peer has no pre-shared key that", "does not know this pre-shared key"),
        ("Alice", ALICE, "the peer has no pre-shared key that", "does not know this pre-shared"),
    ],
)
def test_peer_without_the_right_key_is_refused_and_both_sides_say_why(
    link: DiaryLink, other: DiaryLink, identity: str, key: bytes, why_here: str, why_there: str
) -> None:
    here, there = refusals(link), refusals(other)
    address = link.add_listener(LOCALHOST, SSLConfig(psk={"alice": ALICE}))
    other.add_connector(address, ssl_config=SSLConfig(psk=(identity, key)))
    run_until(lambda: here and there, link, other)
    assert why_here in here[0]
    assert why_there in there[0]
    assert not link.connected
    assert not other.connected


@needs_keys
def test_server_with_a_certificate_instead_of_the_key_is_refused(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    """A man in the middle, who has any certificate."""
    there = refusals(other)
    address = link.add_listener(LOCALHOST, SSLConfig(*authority.issue("server")))
    other.add_connector(address, ssl_config=SSLConfig(psk=("alice", ALICE)))
    run_until(lambda: there, link, other)
    assert "the other side has certificates and no pre-shared keys" in there[0]
    assert not other.connected


@needs_keys
def test_client_with_a_certificate_instead_of_a_key_is_refused(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    here = refusals(link)
    address = link.add_listener(LOCALHOST, SSLConfig(psk={"alice": ALICE}))
    other.add_connector(address, ssl_config=authority.config("client"))
    run_until(lambda: here, link, other)
    assert "the peer has no pre-shared key that this side knows" in here[0]
    assert not link.connected


@needs_keys
def test_key_that_is_removed_from_the_mapping_is_refused_from_then_on(
    link: DiaryLink, other: DiaryLink
) -> None:
    keys = {"alice": ALICE}
    there = refusals(other)
    address = link.add_listener(LOCALHOST, SSLConfig(psk=keys))
    other.add_connector(address, ssl_config=SSLConfig(psk=("alice", ALICE)))
    run_until(lambda: link.open and other.open, link, other)
    del keys["alice"]
    link.close(link.open[0])
    run_until(lambda: there, link, other)
    keys["alice"] = ALICE
    run_until(lambda: link.open, link, other)


@needs_keys
@pytest.mark.parametrize("bad", [b"short", "text", 7])
def test_bad_key_that_comes_into_the_mapping_later_admits_nobody(
    link: DiaryLink, other: DiaryLink, bad: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    keys = {"alice": ALICE}
    here = refusals(link)
    address = link.add_listener(LOCALHOST, SSLConfig(psk=keys))
    keys["alice"] = bad
    other.add_connector(address, ssl_config=SSLConfig(psk=("alice", ALICE)))
    run_until(lambda: here, link, other)
    assert "cannot look up a pre-shared key" in caplog.text
    assert not link.connected


@needs_keys
@pytest.mark.parametrize(
    "psk",
    [
        ("alice", b"k" * 15),
        ("alice", b"k" * 257),
        ("", ALICE),
        ("a\0b", ALICE),
        ("a" * 129, ALICE),
        {"alice": ALICE, "bob": b""},
    ],
)
def test_keys_and_identities_of_the_wrong_size_are_refused(psk: tuple[str, bytes]) -> None:
    with pytest.raises(ValueError, match="pre-shared key") as raised:
        SSLConfig(psk=psk)
    assert "kkk" not in str(raised.value)


@needs_keys
@pytest.mark.parametrize(
    "psk", ["alice", ("alice",), ("alice", "text"), (b"alice", ALICE), {"alice": None}, 5]
)
def test_keys_of_the_wrong_type_are_refused(psk: tuple[str, bytes]) -> None:
    with pytest.raises(TypeError, match=r"pre-shared key|psk must be"):
        SSLConfig(psk=psk)


@needs_keys
def test_keys_exclude_certificates(authority: Authority) -> None:
    for others in (
        {"certfile": authority.issue("alice")[1]},
        {"ca_certs": authority.ca_certs},
        {"cert_reqs": ssl.CERT_NONE},
        {"check_hostname": True},
        {"context": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)},
    ):
        with pytest.raises(ValueError, match="with psk"):
            SSLConfig(psk=("alice", ALICE), **others)


@needs_keys
def test_keys_of_the_other_side_are_refused(link: DiaryLink) -> None:
    with pytest.raises(ValueError, match="a listener needs the keys of its peers"):
        link.add_listener(LOCALHOST, SSLConfig(psk=("alice", ALICE)))
    with pytest.raises(ValueError, match="a connector needs its own key"):
        link.add_connector(("127.0.0.1", 1), ssl_config=SSLConfig(psk={"alice": ALICE}))


@needs_keys
def test_context_for_keys_is_not_given_out() -> None:
    with pytest.raises(ValueError, match="is not given out"):
        SSLConfig(psk=("alice", ALICE)).get_context(server_side=False)


@needs_keys
def test_keys_log_no_warning_that_nothing_is_checked(
    link: DiaryLink, caplog: pytest.LogCaptureFixture
) -> None:
    link.add_listener(LOCALHOST, SSLConfig(psk={"alice": ALICE}))
    assert "does not check" not in caplog.text
