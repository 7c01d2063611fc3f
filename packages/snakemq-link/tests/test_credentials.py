"""What a connection proves about the peer, told by ``peer_credentials``."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import sys
import threading
from pathlib import Path

import pytest
from certificates import Authority
from real_links import LOCALHOST, DiaryLink, connect, run_until

from snakemq.exceptions import NoConnection
from snakemq.link import (
    Abilities,
    CertificateCheck,
    LinkInterface,
    PeerCredentials,
    SSLConfig,
    UnixCredentials,
)
from snakemq.link.testing import MemoryNetwork
from snakemq.throttle import Throttle


def credentials_over(
    link: DiaryLink, other: DiaryLink, server: SSLConfig, client: SSLConfig
) -> tuple[PeerCredentials, PeerCredentials]:
    """Connect ``other`` to ``link``; returns what the listener and the connector learn."""
    other.add_connector(link.add_listener(LOCALHOST, server), ssl_config=client)
    run_until(lambda: link.open and other.open, link, other)
    return link.peer_credentials(link.open[-1]), other.peer_credentials(other.open[-1])


# -- without TLS


def test_a_plain_connection_proves_nothing(link: DiaryLink, other: DiaryLink) -> None:
    here, there = connect(link, other)
    address = next(iter(link._dialling.listeners))
    of_client, of_server = link.peer_credentials(here), other.peer_credentials(there)
    assert of_client == PeerCredentials(address=of_client.address)
    assert of_server == PeerCredentials(address=address, dialled=address)
    assert not of_client.is_verified
    assert of_client.fingerprint is None
    assert not of_client.knows_key(b"")


def test_credentials_are_known_until_the_connection_is_gone(
    link: DiaryLink, other: DiaryLink
) -> None:
    inside: list[PeerCredentials] = []
    link.on_connect.add(lambda conn_id: inside.append(link.peer_credentials(conn_id)))
    here, _ = connect(link, other)
    assert inside == [link.peer_credentials(here)]
    link.close(here)
    with pytest.raises(NoConnection):
        link.peer_credentials(here)


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell it")
def test_unix_socket_tells_the_process_at_its_other_end(
    link: DiaryLink, other: DiaryLink, tmp_path: Path
) -> None:
    path = link.add_listener(tmp_path / "peer.socket")
    other.add_connector(path)
    run_until(lambda: link.open and other.open, link, other)
    us = UnixCredentials(pid=os.getpid(), uid=os.getuid(), gid=os.getgid())
    assert link.peer_credentials(link.open[0]).unix == us
    assert other.peer_credentials(other.open[0]).unix == us
    assert other.peer_credentials(other.open[0]).dialled == path


def test_unix_credentials_are_unknown_where_the_system_lacks_them(
    link: DiaryLink, other: DiaryLink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, "SO_PEERCRED", raising=False)
    other.add_connector(link.add_listener(tmp_path / "peer.socket"))
    run_until(lambda: link.open, link, other)
    assert link.peer_credentials(link.open[0]).unix is None


# -- certificates


def test_certificate_that_ca_certs_have_signed_is_verified(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    both = credentials_over(link, other, authority.config("server"), authority.config("client"))
    for credentials, name in zip(both, ("client", "server"), strict=True):
        assert credentials.is_tls
        assert credentials.is_verified
        assert credentials.checked_against is CertificateCheck.CA_CERTS
        assert credentials.certificate_fields["subjectAltName"] == (("DNS", name),)
        pem = Path(authority.issue(name)[1]).read_text()
        assert credentials.certificate == ssl.PEM_cert_to_DER_cert(pem)
        assert credentials.fingerprint == hashlib.sha256(credentials.certificate).hexdigest()


def test_certificate_that_nobody_checks_is_not_verified(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    server = SSLConfig(*authority.issue("server"))
    of_client, of_server = credentials_over(link, other, server, SSLConfig())
    assert of_client.certificate is None
    assert of_server.certificate is not None
    assert of_server.fingerprint is not None
    for credentials in (of_client, of_server):
        assert credentials.is_tls
        assert credentials.checked_against is CertificateCheck.NONE
        assert not credentials.is_verified
        assert credentials.certificate_fields == {}


def test_client_that_shows_no_certificate_is_not_verified(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    server = authority.config("server", cert_reqs=ssl.CERT_OPTIONAL)
    client = SSLConfig(ca_certs=authority.ca_certs)
    of_client, _ = credentials_over(link, other, server, client)
    assert of_client.checked_against is CertificateCheck.CA_CERTS
    assert of_client.certificate is None
    assert not of_client.is_verified


def own_context(authority: Authority) -> SSLConfig:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*reversed(authority.issue("server")))
    context.load_verify_locations(authority.ca_certs)
    context.verify_mode = ssl.CERT_REQUIRED
    return SSLConfig(context=context)


def given_out(authority: Authority) -> SSLConfig:
    config = authority.config("server")
    config.get_context(server_side=True).load_default_certs()
    return config


def subclassed(authority: Authority) -> SSLConfig:
    class Trusting(SSLConfig):
        def get_context(self, *, server_side: bool) -> ssl.SSLContext:
            context = super().get_context(server_side=server_side)
            context.load_default_certs()
            return context

    keyfile, certfile = authority.issue("server")
    return Trusting(keyfile, certfile, ca_certs=authority.ca_certs)


@pytest.mark.parametrize("make_config", [own_context, given_out, subclassed])
def test_context_that_the_user_may_change_is_told_from_ca_certs(
    link: DiaryLink, other: DiaryLink, authority: Authority, make_config: object
) -> None:
    assert callable(make_config)
    config = make_config(authority)
    of_client, _ = credentials_over(link, other, config, authority.config("client"))
    assert of_client.checked_against is CertificateCheck.CONTEXT
    assert of_client.is_verified


def test_later_changes_of_a_context_do_not_change_what_was_checked(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    server = SSLConfig(*authority.issue("server"))
    context = server.get_context(server_side=True)
    other.add_connector(link.add_listener(LOCALHOST, server), ssl_config=authority.config("client"))
    run_until(lambda: link.open and other.open, link, other)
    context.load_verify_locations(authority.ca_certs)
    context.verify_mode = ssl.CERT_REQUIRED
    assert link.peer_credentials(link.open[0]).checked_against is CertificateCheck.NONE


# -- other links


def test_they_are_known_when_the_peer_has_gone_without_ceremony(
    link: DiaryLink, authority: Authority
) -> None:
    """OpenSSL has met the end of the stream before what came in front of it is handled."""
    context = authority.config("server").get_context(server_side=True)
    known: list[PeerCredentials] = []
    certificates: list[object] = []
    link.on_recv.add(lambda conn_id, _: known.append(link.peer_credentials(conn_id)))
    link.on_recv.add(
        lambda conn_id, _: certificates.append(link.get_socket_by_conn(conn_id).getpeercert())
    )
    with socket.create_server(LOCALHOST) as listener:
        link.add_connector(listener.getsockname(), ssl_config=authority.config("client"))
        thread = threading.Thread(target=say_hello_and_go, args=[listener, context])
        thread.start()
        run_until(lambda: link.open, link)
        thread.join()  # before the data is read, so that the end comes along with it
        run_until(lambda: known, link)
    assert known[0].is_verified
    assert certificates == [known[0].certificate_fields]


def say_hello_and_go(listener: socket.socket, context: ssl.SSLContext) -> None:
    tls = context.wrap_socket(listener.accept()[0], server_side=True)
    tls.sendall(b"hello")
    tls.close()  # without a close_notify


@pytest.mark.parametrize("with_tls", [False, True])
def test_connector_says_who_is_expected_and_a_listener_expects_nobody(
    link: DiaryLink, other: DiaryLink, authority: Authority, with_tls: bool
) -> None:
    server = SSLConfig(*authority.issue("localhost")) if with_tls else None
    client = SSLConfig() if with_tls else None
    other.add_connector(link.add_listener(LOCALHOST, server), ssl_config=client, ident="bob")
    run_until(lambda: link.open and other.open, link, other)
    assert other.peer_credentials(other.open[0]).expected_ident == "bob"
    assert link.peer_credentials(link.open[0]).expected_ident is None


def test_memory_connector_says_who_is_expected(network: MemoryNetwork) -> None:
    alice, bob = network.link("alice"), network.link("bob")
    connector = network.keep_connected(alice, "bob", ident="robert")
    network.run_until_idle()
    assert connector.conn_id is not None
    assert alice.peer_credentials(connector.conn_id).expected_ident == "robert"
    (there,) = bob.connections
    assert bob.peer_credentials(there).expected_ident is None


@pytest.mark.parametrize("ident", [b"bob", 1, ["bob"]])
def test_what_is_expected_is_a_string(link: DiaryLink, ident: str) -> None:
    with pytest.raises(TypeError, match="ident must be None or a str"):
        link.add_connector(("127.0.0.1", 4000), ident=ident)


def test_throttle_passes_the_credentials_on(link: DiaryLink, other: DiaryLink) -> None:
    here, _ = connect(link, other)
    throttle: LinkInterface = Throttle(link, 1000)
    assert Abilities(throttle).peer_credentials(here) == link.peer_credentials(here)


def test_link_without_the_ability_proves_nothing() -> None:
    class Plain:
        pass

    plain: object = Plain()
    abilities = Abilities(plain)  # type: ignore[arg-type]
    assert abilities.peer_credentials("1") == PeerCredentials()


def test_memory_link_shows_the_credentials_that_a_test_gives_it(network: MemoryNetwork) -> None:
    a, b = network.link("a"), network.link("b")
    a.credentials = PeerCredentials(unix=UnixCredentials(pid=1, uid=2, gid=3))
    b.credentials = PeerCredentials(is_tls=True)
    on_a, on_b = network.connect(a, b)
    network.run_until_idle()
    assert a.peer_credentials(on_a) == PeerCredentials(address="b", dialled="b", is_tls=True)
    assert b.peer_credentials(on_b) == PeerCredentials(
        address="a", unix=UnixCredentials(pid=1, uid=2, gid=3)
    )
    a.close(on_a)
    with pytest.raises(NoConnection):
        a.peer_credentials(on_a)
