"""Certificates that their authority has revoked."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from certificates import Authority
from real_links import LOCALHOST, DiaryLink, run_until
from tls_sessions import keep_session, resuming_client

from snakemq.exceptions import ConnectFailed
from snakemq.link import SSLConfig

NewLink = Callable[..., DiaryLink]


@pytest.fixture
def crl_file(tmp_path: Path, authority: Authority) -> Path:
    """A list that is still empty."""
    path = tmp_path / "revoked.crl"
    path.write_bytes(authority.revocation_list())
    return path


def failures(link: DiaryLink) -> list[str]:
    """Collect why the connections of a link fail."""
    errors: list[str] = []

    def note(address: object, error: ConnectFailed) -> None:
        errors.append(str(error))

    link.on_connect_failed.add(note)
    return errors


def certificate_of(authority: Authority, name: str) -> str:
    return authority.issue(name)[1]


def test_revoked_client_is_refused_and_both_sides_say_why(
    link: DiaryLink, other: DiaryLink, authority: Authority, crl_file: Path
) -> None:
    crl_file.write_bytes(authority.revocation_list(certificate_of(authority, "client")))
    here, there = failures(link), failures(other)
    address = link.add_listener(LOCALHOST, authority.config("server", crl_file=str(crl_file)))
    other.add_connector(address, ssl_config=authority.config("client"))
    run_until(lambda: here and there, link, other)
    assert "certificate revoked" in here[0]
    assert "certificate revoked" in there[0]
    assert not link.connected


def test_revoked_server_is_refused(
    link: DiaryLink, other: DiaryLink, authority: Authority, crl_file: Path
) -> None:
    crl_file.write_bytes(authority.revocation_list(certificate_of(authority, "server")))
    there = failures(other)
    address = link.add_listener(LOCALHOST, authority.config("server"))
    other.add_connector(address, ssl_config=authority.config("client", crl_file=str(crl_file)))
    run_until(lambda: there, link, other)
    assert "certificate revoked" in there[0]
    assert not other.connected


def test_others_of_the_same_authority_are_admitted(
    link: DiaryLink, other: DiaryLink, authority: Authority, crl_file: Path
) -> None:
    crl_file.write_bytes(authority.revocation_list(certificate_of(authority, "another")))
    address = link.add_listener(LOCALHOST, authority.config("server", crl_file=str(crl_file)))
    other.add_connector(address, ssl_config=authority.config("client"))
    run_until(lambda: link.open and other.open, link, other)


@pytest.mark.parametrize("given_out", [False, True], ids=["own", "given out"])
def test_new_list_counts_from_the_next_connection_on(
    link: DiaryLink, other: DiaryLink, authority: Authority, crl_file: Path, given_out: bool
) -> None:
    here = failures(link)
    config = authority.config("server", crl_file=str(crl_file))
    if given_out:
        config.get_context(server_side=True)
    other.add_connector(link.add_listener(LOCALHOST, config), ssl_config=authority.config("client"))
    run_until(lambda: link.open and other.open, link, other)
    crl_file.write_bytes(authority.revocation_list(certificate_of(authority, "client")))
    link.close(link.open[0])
    run_until(lambda: here, link, other)
    assert "certificate revoked" in here[0]
    assert not link.open


@pytest.mark.parametrize("given_out", [False, True], ids=["own", "given out"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_revoked_client_cannot_resume_its_session(
    new_link: NewLink,
    authority: Authority,
    crl_file: Path,
    version: ssl.TLSVersion,
    given_out: bool,
) -> None:
    link, other = new_link(), new_link()
    here = failures(link)
    config = authority.config("server", crl_file=str(crl_file))
    if given_out:
        config.get_context(server_side=True)
    context = resuming_client(authority, "client", version)
    address = link.add_listener(LOCALHOST, config)
    other.add_connector(address, ssl_config=SSLConfig(context=context))
    run_until(lambda: link.open and other.open, link, other)
    keep_session(link, other, context)
    crl_file.write_bytes(authority.revocation_list(certificate_of(authority, "client")))
    # The first connection stays: with TLS 1.2, OpenSSL would else forget the session.
    third = new_link()
    third.add_connector(address, ssl_config=SSLConfig(context=context))
    run_until(lambda: here, link, third)
    assert "revoked" in here[0]
    assert len(link.connected) == 1


def test_list_that_is_out_of_date_admits_nobody(
    link: DiaryLink, other: DiaryLink, authority: Authority, crl_file: Path
) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    crl_file.write_bytes(authority.revocation_list(until=yesterday))
    here = failures(link)
    address = link.add_listener(LOCALHOST, authority.config("server", crl_file=str(crl_file)))
    other.add_connector(address, ssl_config=authority.config("client"))
    run_until(lambda: here, link, other)
    assert "CRL has expired" in here[0]


def test_list_of_another_authority_admits_nobody(
    link: DiaryLink, other: DiaryLink, authority: Authority, stranger: Authority, crl_file: Path
) -> None:
    crl_file.write_bytes(stranger.revocation_list())
    here = failures(link)
    address = link.add_listener(LOCALHOST, authority.config("server", crl_file=str(crl_file)))
    other.add_connector(address, ssl_config=authority.config("client"))
    run_until(lambda: here, link, other)
    assert "unable to get certificate CRL" in here[0]


def test_broken_new_list_keeps_the_old_one_in_use(
    link: DiaryLink,
    other: DiaryLink,
    authority: Authority,
    crl_file: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    crl_file.write_bytes(authority.revocation_list(certificate_of(authority, "client")))
    here = failures(link)
    config = authority.config("server", crl_file=str(crl_file))
    address = link.add_listener(LOCALHOST, config)
    crl_file.write_bytes(crl_file.read_bytes()[:100])
    other.add_connector(address, ssl_config=authority.config("client"))
    run_until(lambda: here, link, other)
    assert "certificate revoked" in here[0]
    assert f"crl_file {str(crl_file)!r} has no revocation list" in caplog.text


def test_file_with_certificates_is_not_taken_for_a_list(
    link: DiaryLink, authority: Authority, stranger: Authority, crl_file: Path
) -> None:
    """OpenSSL would trust them as authorities."""
    with crl_file.open("ab") as file:
        file.write(Path(stranger.ca_certs).read_bytes())
    config = authority.config("server", crl_file=str(crl_file))
    with pytest.raises(ssl.SSLError, match="put them into ca_certs"):
        link.add_listener(LOCALHOST, config)


def test_missing_list_is_an_error_when_the_listener_is_made(
    link: DiaryLink, authority: Authority, tmp_path: Path
) -> None:
    config = authority.config("server", crl_file=str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match="the crl_file of SSLConfig"):
        link.add_listener(LOCALHOST, config)


def test_list_without_a_check_is_refused(authority: Authority, crl_file: Path) -> None:
    with pytest.raises(ValueError, match="crl_file needs certificates that are checked"):
        SSLConfig(*authority.issue("server"), crl_file=str(crl_file))
    with pytest.raises(ValueError, match="crl_file needs certificates that are checked"):
        authority.config("server", cert_reqs=ssl.CERT_NONE, crl_file=str(crl_file))
    with pytest.raises(ValueError, match="either a context or files"):
        SSLConfig(context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), crl_file=str(crl_file))
