"""Both sides of a TLS handshake that fails say why, once, and not for each attempt."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from certificates import Authority
from real_links import LOCALHOST, DiaryLink, pass_once, plain_client, run_until

from snakemq.exceptions import ConnectFailed
from snakemq.link import SSLConfig

NewLink = Callable[..., DiaryLink]
MakeConfig = Callable[[Authority, Authority], SSLConfig]


class Told:
    """What a link says about connections that fail."""

    def __init__(self, link: DiaryLink) -> None:
        self.errors: list[str] = []
        link.on_connect_failed.add(self._note)

    def _note(self, address: object, error: ConnectFailed) -> None:
        self.errors.append(str(error))


def no_certificate(authority: Authority, stranger: Authority) -> SSLConfig:
    return SSLConfig(ca_certs=authority.ca_certs)


def certificate_of_a_stranger(authority: Authority, stranger: Authority) -> SSLConfig:
    keyfile, certfile = stranger.issue("client")
    return SSLConfig(keyfile, certfile, ca_certs=authority.ca_certs)


def expired_certificate(authority: Authority, stranger: Authority) -> SSLConfig:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    keyfile, certfile = authority.issue("expired", not_after=yesterday)
    return SSLConfig(keyfile, certfile, ca_certs=authority.ca_certs)


REFUSED = "the other side refuses the certificate of this side"
DEMANDED = "the other side demands a certificate of this side"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("make_config", "why_here", "why_there"),
    [
        (no_certificate, "peer did not return a certificate", DEMANDED),
        (certificate_of_a_stranger, "unable to get local issuer certificate", REFUSED),
        (expired_certificate, "certificate has expired", REFUSED),
    ],
)
def test_refused_client_is_told_the_reason_once_on_both_sides(
    new_link: NewLink,
    authority: Authority,
    stranger: Authority,
    caplog: pytest.LogCaptureFixture,
    make_config: MakeConfig,
    why_here: str,
    why_there: str,
    version: ssl.TLSVersion,
) -> None:
    """With TLS 1.3, the client is ready before the server has looked at its certificate."""
    link, other = new_link(), new_link(reconnect_interval=0.01)
    here, there = Told(link), Told(other)
    caplog.set_level(logging.DEBUG, "snakemq.link")
    server = authority.config("server")
    server.get_context(server_side=True).maximum_version = version
    address = link.add_listener(LOCALHOST, server)
    other.add_connector(address, ssl_config=make_config(authority, stranger))
    run_until(lambda: caplog.text.count(why_here) >= 5, link, other)
    (reason,) = here.errors
    assert why_here in reason
    (reason,) = there.errors
    if version == ssl.TLSVersion.TLSv1_2 and make_config is no_certificate:
        assert "alert handshake failure" in reason  # it has no alert of its own
    else:
        assert why_there in reason
    assert f"cannot connect to {address!r}" in reason
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(warnings) == 2
    assert not link.connected


def test_client_that_has_sent_much_before_it_is_refused_learns_the_reason(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    there = Told(other)
    other.on_connect.add(lambda conn_id: other.send_all(conn_id, bytes(8 * 1024 * 1024)))
    address = link.add_listener(LOCALHOST, authority.config("server"))
    other.add_connector(address, ssl_config=SSLConfig(ca_certs=authority.ca_certs))
    run_until(lambda: there.errors, link, other)
    assert DEMANDED in there.errors[0]


def test_refused_server_is_told_the_reason(
    link: DiaryLink, other: DiaryLink, authority: Authority, stranger: Authority
) -> None:
    here, there = Told(link), Told(other)
    address = link.add_listener(LOCALHOST, stranger.config("server"))
    other.add_connector(address, ssl_config=authority.config("client"))
    run_until(lambda: here.errors and there.errors, link, other)
    assert "certificate verify failed" in there.errors[0]
    assert REFUSED in here.errors[0]


def test_peer_that_goes_on_sending_reads_the_alert_and_is_not_reset(
    link: DiaryLink, authority: Authority
) -> None:
    told = Told(link)
    with plain_client(link.add_listener(LOCALHOST, authority.config("server"))) as client:
        empty_hello = b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"
        client.sendall(empty_hello + bytes(60_000))
        pass_once(link)
        run_until(lambda: told.errors, link)
        received = b""
        while data := client.recv(1000):
            received += data
    assert received[:1] == b"\x15"  # an alert
