"""Files of TLS that are replaced while links run, as cert-manager and Vault do it."""

from __future__ import annotations

import logging
import os
import shutil
import ssl
from pathlib import Path

import pytest
from certificates import Authority
from real_links import LOCALHOST, DiaryLink, pass_once, run_until

from snakemq.link import SSLConfig


@pytest.fixture(autouse=True)
def log_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "snakemq.link")


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings about files. The tests themselves make connections end at once."""
    messages = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    return [message for message in messages if "closed by the other side" not in message]


class Deployed:
    """The files of one peer, which can be replaced."""

    def __init__(self, folder: Path, authority: Authority, name: str) -> None:
        self.folder = folder
        folder.mkdir()
        self.keyfile, self.certfile, self.ca_certs = (
            str(folder / file) for file in ("peer.key", "peer.crt", "root.crt")
        )
        self.replace(authority, name)
        self.trust(authority)
        self.config = SSLConfig(
            self.keyfile, self.certfile, ca_certs=self.ca_certs, cert_reqs=ssl.CERT_REQUIRED
        )

    def replace(self, authority: Authority, name: str) -> None:
        keyfile, certfile = authority.issue(name)
        put(keyfile, self.keyfile)
        put(certfile, self.certfile)

    def trust(self, authority: Authority) -> None:
        put(authority.ca_certs, self.ca_certs)


def put(source: str, target: str) -> None:
    """Replace a file in one step, as a careful tool does."""
    shutil.copyfile(source, target + ".new")
    os.replace(target + ".new", target)


@pytest.fixture
def server(tmp_path: Path, authority: Authority) -> Deployed:
    return Deployed(tmp_path / "server", authority, "server")


@pytest.fixture
def client(tmp_path: Path, authority: Authority) -> Deployed:
    return Deployed(tmp_path / "client", authority, "client")


def name_of(link: DiaryLink) -> str:
    """Return the name in the certificate of the peer on the last connection."""
    certificate = link.get_socket_by_conn(link.open[-1]).getpeercert()
    assert isinstance(certificate, dict)
    return str(certificate["subjectAltName"][0][1])


def connect(listening: DiaryLink, dialling: DiaryLink, server: Deployed, client: Deployed) -> None:
    address = listening.add_listener(LOCALHOST, server.config)
    dialling.add_connector(address, ssl_config=client.config)
    run_until(lambda: listening.open and dialling.open, listening, dialling)


def connect_again(listening: DiaryLink, dialling: DiaryLink) -> None:
    count = len(listening.connected)
    listening.close(listening.open[-1])
    run_until(lambda: len(listening.connected) > count and dialling.open, listening, dialling)
    run_until(lambda: listening.open, listening, dialling)


def test_connector_shows_its_new_certificate_from_the_next_connection_on(
    link: DiaryLink, other: DiaryLink, authority: Authority, server: Deployed, client: Deployed
) -> None:
    connect(link, other, server, client)
    client.replace(authority, "renewed-client")
    pass_once(link, other)
    assert link.open  # what is connected stays
    connect_again(link, other)
    assert name_of(link) == "renewed-client"


def test_listener_shows_a_replaced_certificate_from_the_next_connection_on(
    link: DiaryLink, other: DiaryLink, authority: Authority, server: Deployed, client: Deployed
) -> None:
    connect(link, other, server, client)
    server.replace(authority, "renewed-server")
    connect_again(link, other)
    assert name_of(other) == "renewed-server"


def test_client_whose_certificate_was_refused_is_let_in_with_a_new_one(
    link: DiaryLink,
    other: DiaryLink,
    authority: Authority,
    stranger: Authority,
    server: Deployed,
    client: Deployed,
) -> None:
    client.replace(stranger, "client")
    address = link.add_listener(LOCALHOST, server.config)
    other.add_connector(address, ssl_config=client.config)
    run_until(lambda: other.disconnected, link, other)
    client.replace(authority, "client")
    run_until(lambda: link.open, link, other)


def test_a_replaced_authority_is_no_longer_trusted(
    link: DiaryLink,
    other: DiaryLink,
    stranger: Authority,
    server: Deployed,
    client: Deployed,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connect(link, other, server, client)
    server.trust(stranger)
    link.close(link.open[-1])
    run_until(lambda: "certificate verify failed" in caplog.text, link, other)
    assert not link.open
    client.replace(stranger, "client")
    run_until(lambda: link.open, link, other)


def test_half_written_file_is_reported_once_and_the_old_one_stays_in_use(
    link: DiaryLink,
    other: DiaryLink,
    authority: Authority,
    server: Deployed,
    client: Deployed,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connect(link, other, server, client)
    keyfile, certfile = authority.issue("renewed-server")
    whole = Path(certfile).read_text()
    Path(server.certfile).write_text(whole[: len(whole) // 2])
    connect_again(link, other)
    connect_again(link, other)
    assert name_of(other) == "server"
    (half,) = warnings_of(caplog)
    assert "the old ones stay in use" in half
    assert f"certfile '{server.certfile}'" in half

    Path(server.certfile).write_text(whole)  # and the key is still the old one
    connect_again(link, other)
    assert name_of(other) == "server"
    assert "does not belong to the certificate" in warnings_of(caplog)[1]

    put(keyfile, server.keyfile)
    connect_again(link, other)
    assert name_of(other) == "renewed-server"
    assert len(warnings_of(caplog)) == 2
    assert "loaded the changed TLS files" in caplog.text


def test_file_that_is_gone_for_a_while_does_no_harm(
    link: DiaryLink,
    other: DiaryLink,
    server: Deployed,
    client: Deployed,
    caplog: pytest.LogCaptureFixture,
) -> None:
    connect(link, other, server, client)
    Path(client.keyfile).rename(client.keyfile + ".away")
    connect_again(link, other)
    assert "keyfile of SSLConfig" in warnings_of(caplog)[0]
    Path(client.keyfile + ".away").rename(client.keyfile)
    connect_again(link, other)
    assert len(warnings_of(caplog)) == 1


def test_symbolic_link_that_is_turned_to_another_folder_is_noticed(
    link: DiaryLink, other: DiaryLink, authority: Authority, server: Deployed, tmp_path: Path
) -> None:
    """Kubernetes mounts its secrets like this."""
    Deployed(tmp_path / "first", authority, "client")
    Deployed(tmp_path / "second", authority, "renewed-client")
    current = tmp_path / "current"
    current.symlink_to("first")
    config = SSLConfig(
        str(current / "peer.key"), str(current / "peer.crt"), ca_certs=str(current / "root.crt")
    )
    other.add_connector(link.add_listener(LOCALHOST, server.config), ssl_config=config)
    run_until(lambda: link.open and other.open, link, other)
    assert name_of(link) == "client"
    (tmp_path / "new").symlink_to("second")
    (tmp_path / "new").replace(current)
    connect_again(link, other)
    assert name_of(link) == "renewed-client"


def test_files_that_have_not_changed_are_not_read_again(server: Deployed) -> None:
    context = server.config.current_context(server_side=True)
    assert server.config.current_context(server_side=True) is context


def test_context_that_was_given_out_gets_the_new_certificate(
    link: DiaryLink, other: DiaryLink, authority: Authority, server: Deployed, client: Deployed
) -> None:
    context = server.config.get_context(server_side=True)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # a setting of the user's
    connect(link, other, server, client)
    server.replace(authority, "renewed-server")
    connect_again(link, other)
    assert server.config.get_context(server_side=True) is context
    assert name_of(other) == "renewed-server"
    sock = other.get_socket_by_conn(other.open[-1]).sock
    assert isinstance(sock, ssl.SSLSocket)
    assert sock.version() == "TLSv1.2"


def test_context_of_a_subclass_is_the_one_in_use(
    link: DiaryLink, other: DiaryLink, server: Deployed, client: Deployed
) -> None:
    class OldOnly(SSLConfig):
        def get_context(self, *, server_side: bool) -> ssl.SSLContext:
            context = super().get_context(server_side=server_side)
            context.maximum_version = ssl.TLSVersion.TLSv1_2
            return context

    server.config = OldOnly(server.keyfile, server.certfile, ca_certs=server.ca_certs)
    connect(link, other, server, client)
    sock = other.get_socket_by_conn(other.open[-1]).sock
    assert isinstance(sock, ssl.SSLSocket)
    assert sock.version() == "TLSv1.2"


def test_context_of_the_users_own_is_left_alone(server: Deployed, authority: Authority) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certfile, server.keyfile)
    config = SSLConfig(context=context)
    server.replace(authority, "renewed-server")
    assert config.current_context(server_side=True) is context


# -- reload


def test_reload_reads_files_that_look_unchanged(
    link: DiaryLink, other: DiaryLink, authority: Authority, server: Deployed, client: Deployed
) -> None:
    connect(link, other, server, client)
    before = [os.stat(path) for path in (server.keyfile, server.certfile)]
    for path, stat in zip(authority.issue("renewed-server"), before, strict=True):
        target = server.keyfile if path.endswith(".key") else server.certfile
        text = Path(path).read_bytes()
        assert len(text) >= stat.st_size - 16
        with open(target, "r+b") as file:  # the same file
            file.write(text)
            file.truncate()
        os.utime(target, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    server.config.reload()
    connect_again(link, other)
    assert name_of(other) == "renewed-server"


def test_reload_tells_what_is_wrong_and_keeps_the_old_files(
    link: DiaryLink, other: DiaryLink, stranger: Authority, server: Deployed, client: Deployed
) -> None:
    connect(link, other, server, client)
    put(stranger.issue("server")[0], server.keyfile)
    with pytest.raises(ssl.SSLError, match="does not belong to the certificate"):
        server.config.reload()
    Path(server.keyfile).unlink()
    with pytest.raises(FileNotFoundError, match="keyfile of SSLConfig"):
        server.config.reload()
    connect_again(link, other)
    assert name_of(other) == "server"


def test_reload_before_the_first_use_or_without_files_does_nothing(tmp_path: Path) -> None:
    SSLConfig(certfile=str(tmp_path / "not there yet")).reload()
    SSLConfig(context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)).reload()
