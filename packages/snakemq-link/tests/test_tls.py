"""TLS: who is let in, who hears of it, and that a handshake has an end."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Authority
from real_links import LOCALHOST, DiaryLink, pass_once, plain_client, plain_listener, run_until

from snakemq.link import SSLConfig

NewLink = Callable[..., DiaryLink]


@pytest.fixture(autouse=True)
def log_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "snakemq.link")


def connect_tls(
    server: DiaryLink, client: DiaryLink, server_config: SSLConfig, client_config: SSLConfig | None
) -> tuple[str, str]:
    address = server.add_listener(LOCALHOST, server_config)
    client.add_connector(address, ssl_config=client_config)
    run_until(lambda: server.open and client.open, server, client)
    return server.open[-1], client.open[-1]


def say_hello(server: DiaryLink, client: DiaryLink) -> None:
    """Pass data both ways on the open connection."""
    here, there = server.open[-1], client.open[-1]
    server.send(here, b"hello from the server")
    client.send(there, b"hello from the client")
    run_until(lambda: server.received[here] and client.received[there], server, client)
    assert server.received[here] == b"hello from the client"
    assert client.received[there] == b"hello from the server"


def common_names(certificate: object) -> set[str]:
    assert isinstance(certificate, dict)
    return {value for kind, value in certificate["subjectAltName"] if kind == "DNS"}


# -- who is let in


def test_mutual_tls_and_the_certificates_that_both_sides_see(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    here, there = connect_tls(
        link, other, authority.config("server.example"), authority.config("client.example")
    )
    say_hello(link, other)
    seen_by_server = link.get_socket_by_conn(here)
    seen_by_client = other.get_socket_by_conn(there)
    assert common_names(seen_by_server.getpeercert()) == {"client.example"}
    assert common_names(seen_by_client.getpeercert()) == {"server.example"}
    for side in (seen_by_server, seen_by_client):
        binary = side.getpeercert(binary_form=True)
        assert isinstance(binary, bytes)
        assert "BEGIN CERTIFICATE" in ssl.DER_cert_to_PEM_cert(binary)


def test_certificate_is_there_inside_on_connect(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    """The documentation of 1.6 shows it like this."""
    seen: list[set[str]] = []

    def on_connect(conn_id: str) -> None:
        seen.append(common_names(link.get_socket_by_conn(conn_id).getpeercert()))

    link.on_connect.add(on_connect)
    connect_tls(link, other, authority.config("server"), authority.config("client"))
    assert seen == [{"client"}]


def test_only_the_server_shows_a_certificate(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    keyfile, certfile = authority.issue("server")
    here, there = connect_tls(
        link,
        other,
        SSLConfig(keyfile, certfile),
        SSLConfig(ca_certs=authority.ca_certs),  # CERT_REQUIRED follows from it
    )
    say_hello(link, other)
    assert link.get_socket_by_conn(here).getpeercert(True) is None
    assert common_names(other.get_socket_by_conn(there).getpeercert()) == {"server"}


def test_a_config_that_checks_nothing_logs_a_warning(
    link: DiaryLink, other: DiaryLink, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    keyfile, certfile = authority.issue("server")
    _, there = connect_tls(link, other, SSLConfig(keyfile, certfile), SSLConfig())
    say_hello(link, other)
    assert "TLS does not check the certificate of the other side" in caplog.text
    sock = other.get_socket_by_conn(there)
    assert sock.getpeercert() == {}
    assert isinstance(sock.getpeercert(True), bytes)


def test_optional_certificate(link: DiaryLink, other: DiaryLink, authority: Authority) -> None:
    config = authority.config("server", cert_reqs=ssl.CERT_OPTIONAL)
    here, _ = connect_tls(link, other, config, SSLConfig(ca_certs=authority.ca_certs))
    assert link.get_socket_by_conn(here).getpeercert(binary_form=True) is None


def test_key_and_certificate_in_one_file(
    link: DiaryLink, other: DiaryLink, authority: Authority, tmp_path: Path
) -> None:
    keyfile, certfile = authority.issue("server")
    both = tmp_path / "both.pem"
    both.write_text(Path(keyfile).read_text() + Path(certfile).read_text())
    connect_tls(link, other, SSLConfig(certfile=str(both)), SSLConfig(ca_certs=authority.ca_certs))


def test_certificate_of_an_unknown_authority_is_refused_by_the_client(
    link: DiaryLink,
    other: DiaryLink,
    authority: Authority,
    stranger: Authority,
    caplog: pytest.LogCaptureFixture,
) -> None:
    address = link.add_listener(LOCALHOST, stranger.config("server"))
    other.add_connector(address, ssl_config=authority.config("client"))
    run_until(lambda: caplog.text.count("TLS handshake: ") >= 2, link, other)
    assert "certificate verify failed" in caplog.text  # the client says why
    assert "alert unknown ca" in caplog.text.lower()  # and tells the server
    assert not link.connected
    assert not other.connected


def test_certificate_of_an_unknown_authority_is_refused_by_the_server(
    link: DiaryLink,
    other: DiaryLink,
    authority: Authority,
    stranger: Authority,
    caplog: pytest.LogCaptureFixture,
) -> None:
    keyfile, certfile = stranger.issue("client")
    intruder = SSLConfig(keyfile, certfile, ca_certs=authority.ca_certs)
    address = link.add_listener(LOCALHOST, authority.config("server"))
    other.add_connector(address, ssl_config=intruder)
    run_until(lambda: "certificate verify failed" in caplog.text, link, other)
    # With TLS 1.3 the client is ready before the server has judged it, and hears of it later.
    run_until(lambda: other.disconnected == other.connected, link, other)
    assert not link.connected


def test_client_without_a_certificate_is_refused_where_one_is_required(
    link: DiaryLink, other: DiaryLink, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    address = link.add_listener(LOCALHOST, authority.config("server"))
    other.add_connector(address, ssl_config=SSLConfig(ca_certs=authority.ca_certs))
    run_until(lambda: "peer did not return a certificate" in caplog.text, link, other)
    run_until(lambda: other.disconnected == other.connected, link, other)
    assert not link.connected
    assert "connection from ('127.0.0.1'" in caplog.text


def test_refused_client_is_let_in_when_it_has_got_a_certificate(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    address = link.add_listener(LOCALHOST, authority.config("server"))
    other.add_connector(address, ssl_config=SSLConfig(ca_certs=authority.ca_certs))
    run_until(lambda: other.disconnected, link, other)
    other.del_connector(address)
    other.add_connector(address, ssl_config=authority.config("client"))
    run_until(lambda: link.open, link, other)
    say_hello(link, other)


# -- host names


def test_host_name_is_checked_on_request(
    link: DiaryLink, other: DiaryLink, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    checking = authority.config("client", check_hostname=True)
    (_, port) = link.add_listener(LOCALHOST, authority.config("localhost"))
    wrong = link.add_listener(LOCALHOST, authority.config("elsewhere.example"))
    other.add_connector(("localhost", int(port)), ssl_config=checking)
    run_until(lambda: link.open and other.open, link, other)
    say_hello(link, other)

    other.add_connector(("localhost", int(wrong[1])), ssl_config=checking)
    run_until(lambda: "Hostname mismatch" in caplog.text, link, other)
    assert len(other.connected) == 1


def test_host_name_is_not_checked_without_request(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    connect_tls(link, other, authority.config("elsewhere.example"), authority.config("client"))


def test_address_in_a_certificate_counts_as_host_name(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    checking = authority.config("client", check_hostname=True)
    connect_tls(link, other, authority.config("127.0.0.1"), checking)


def test_certificate_can_be_expected_to_name_another_host(
    link: DiaryLink, other: DiaryLink, authority: Authority, tmp_path: Path
) -> None:
    checking = authority.config("client", check_hostname=True, server_hostname="bob.example")
    connect_tls(link, other, authority.config("bob.example"), checking)
    path = link.add_listener(tmp_path / "peer.socket", authority.config("bob.example"))
    other.add_connector(path, ssl_config=checking)
    run_until(lambda: len(other.open) == 2, link, other)


def test_host_name_check_over_a_unix_socket_needs_a_name(
    link: DiaryLink, authority: Authority
) -> None:
    with pytest.raises(ValueError, match="server_hostname"):
        link.add_connector("/tmp/x", ssl_config=authority.config("client", check_hostname=True))
    with pytest.raises(KeyError):
        link.del_connector("/tmp/x")


@pytest.mark.parametrize("name", ["", ".x", "a\0b", "a" * 300, "\ud800"])
def test_server_hostname_that_no_handshake_can_use_is_refused(
    link: DiaryLink, authority: Authority, name: str
) -> None:
    with pytest.raises(ValueError, match="is not a host name"):
        link.add_connector(
            ("127.0.0.1", 1), ssl_config=authority.config("client", server_hostname=name)
        )


# -- handshakes that go nowhere


def test_plaintext_peer_on_a_tls_port_is_turned_away(
    link: DiaryLink, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    with plain_client(link.add_listener(LOCALHOST, authority.config("server"))) as client:
        client.sendall(b"\0\0\0\x05hello, in packets of 1.6")
        run_until(lambda: "is it TLS?" in caplog.text, link)
        with contextlib.suppress(ConnectionResetError):
            while client.recv(100):  # an alert of TLS, and then the end
                pass
    assert not link.connected
    assert not link.disconnected


def test_connector_to_a_plaintext_port_asks_once_whether_that_is_tls(
    link: DiaryLink, other: DiaryLink, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    link.on_connect.add(lambda conn_id: link.send(conn_id, b"\0\0\0\x05\0\0\0\0\1"))
    other.add_connector(link.add_listener(LOCALHOST), ssl_config=authority.config("client"))
    caplog.set_level(logging.DEBUG, "snakemq.link")
    run_until(lambda: caplog.text.count("is it TLS?") >= 3, link, other)
    asked = [record for record in caplog.records if "is it TLS?" in record.getMessage()]
    assert [record.levelno for record in asked[:3]] == [
        logging.WARNING,
        logging.DEBUG,
        logging.DEBUG,
    ]


def test_silent_peer_is_disconnected(
    new_link: NewLink, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    link = new_link(handshake_timeout=0.05)
    with plain_client(link.add_listener(LOCALHOST, authority.config("server"))) as client:
        run_until(lambda: "no answer in 0.05 s" in caplog.text, link)
        assert client.recv(1) == b""
    assert not link.connected
    assert not link.disconnected


def test_silent_server_is_dialled_again(new_link: NewLink, authority: Authority) -> None:
    link = new_link(handshake_timeout=0.05)
    with plain_listener() as silent:
        link.add_connector(silent.getsockname(), ssl_config=authority.config("client"))
        for _ in range(2):
            run_until(lambda: link._table.connections, link)
            sock, _ = silent.accept()
            run_until(lambda: not link._table.connections, link)
            sock.close()
    assert not link.connected


def test_deadline_of_a_handshake_that_was_kept_is_forgotten(
    new_link: NewLink, authority: Authority
) -> None:
    link, other = new_link(handshake_timeout=0.1), new_link(handshake_timeout=0.1)
    connect_tls(link, other, authority.config("server"), authority.config("client"))
    link.loop(runtime=0.15)
    pass_once(other)
    assert link.open
    assert other.open


def test_handshake_of_one_peer_does_not_hold_up_another(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    address = link.add_listener(LOCALHOST, authority.config("server"))
    with plain_client(address):
        pass_once(link)
        other.add_connector(address, ssl_config=authority.config("client"))
        run_until(lambda: link.open and other.open, link, other)
        say_hello(link, other)


def test_peer_that_leaves_in_the_middle_of_the_handshake(
    link: DiaryLink, authority: Authority
) -> None:
    address = link.add_listener(LOCALHOST, authority.config("server"))
    for hello in (b"", b"\x16\x03\x01\x00\xff", b"\x16\x03\x01\x00\x02\x01\x00"):
        with plain_client(address) as client:
            pass_once(link)
            client.sendall(hello)
            pass_once(link)
        run_until(lambda: not link._table.connections, link)
    with plain_client(address) as client:  # and with a reset instead of a farewell
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    pass_once(link)
    run_until(lambda: not link._table.connections, link)
    assert not link.connected
    assert not link.disconnected


def test_connector_that_is_deleted_while_it_shakes_hands(
    link: DiaryLink, authority: Authority
) -> None:
    with plain_listener() as silent:
        link.add_connector(silent.getsockname(), ssl_config=authority.config("client"))
        run_until(lambda: link._table.connections, link)
        link.del_connector(silent.getsockname())
        assert not link._table.connections
        link.loop(runtime=0.1)
        assert not link._table.connections
    assert not link.disconnected


def test_connection_that_shakes_hands_is_unusable_and_closed_silently(
    link: DiaryLink, authority: Authority
) -> None:
    with plain_client(link.add_listener(LOCALHOST, authority.config("server"))):
        run_until(lambda: link._table.connections, link)
        link.cleanup()
    assert not link.connected
    assert not link.disconnected
