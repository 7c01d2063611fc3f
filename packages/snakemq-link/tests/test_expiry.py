"""Certificates that expire while a connection lasts, and sessions that are resumed."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from certificates import Authority
from real_links import LOCALHOST, DiaryLink, run_until
from tls_sessions import keep_session, resuming_client, socket_of

from snakemq.exceptions import CertificateExpired, ConnectFailed
from snakemq.link import SSLConfig

SOON = 0.05
"""Seconds until a certificate expires."""

NOT_AFTER = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)


class Calendar:
    """Stands still unless it is set."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now

    def set(self, date: datetime, seconds: float) -> None:
        """Let it be this many seconds after the date."""
        self.now = date.timestamp() + seconds


@pytest.fixture
def calendar(monkeypatch: pytest.MonkeyPatch) -> Calendar:
    calendar = Calendar()
    monkeypatch.setattr("snakemq.link._connections._expiry.wall_clock", calendar)
    return calendar


@pytest.fixture(scope="session", autouse=True)
def expiring(authority: Authority) -> None:
    """Make certificates that are valid for one more day."""
    authority.issue("expiring-server", not_after=NOT_AFTER)
    authority.issue("expiring-client", not_after=NOT_AFTER)


def failures(link: DiaryLink) -> list[ConnectFailed]:
    """Collect why the connections of a link fail."""
    errors: list[ConnectFailed] = []
    link.on_connect_failed.add(lambda address, error: errors.append(error))
    return errors


def connect(link: DiaryLink, other: DiaryLink, server: SSLConfig, client: SSLConfig) -> None:
    other.add_connector(link.add_listener(LOCALHOST, server), ssl_config=client)
    run_until(lambda: link.open and other.open, link, other)


# -- the end of a connection


def test_listener_drops_a_client_whose_certificate_expires(
    link: DiaryLink, other: DiaryLink, authority: Authority, calendar: Calendar
) -> None:
    told = failures(link)
    calendar.set(NOT_AFTER, -SOON)
    connect(link, other, authority.config("server"), authority.config("expiring-client"))
    here, there = link.open[0], other.open[0]
    calendar.set(NOT_AFTER, 0)
    run_until(lambda: told and there in other.disconnected, link, other)
    assert isinstance(told[0].__cause__, CertificateExpired)
    assert "connection from ('127.0.0.1'" in str(told[0])
    assert f"expired at {NOT_AFTER:%Y-%m-%d %H:%M:%S} UTC" in str(told[0])
    assert link.disconnected == [here]


def test_connector_drops_a_server_whose_certificate_expires(
    link: DiaryLink, other: DiaryLink, authority: Authority, calendar: Calendar
) -> None:
    told = failures(other)
    calendar.set(NOT_AFTER, -SOON)
    connect(link, other, authority.config("expiring-server"), authority.config("client"))
    calendar.set(NOT_AFTER, 0)
    run_until(lambda: told and link.disconnected, link, other)
    assert isinstance(told[0].__cause__, CertificateExpired)
    assert "cannot connect to ('127.0.0.1'" in str(told[0])


def test_expiry_is_logged_once_and_not_for_each_attempt(
    link: DiaryLink,
    other: DiaryLink,
    authority: Authority,
    calendar: Calendar,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """OpenSSL goes by the real date, so this handshake succeeds each time."""
    here, there = failures(link), failures(other)
    calendar.set(NOT_AFTER, 1)
    address = link.add_listener(LOCALHOST, authority.config("expiring-server"))
    other.add_connector(address, ssl_config=authority.config("expiring-client"))
    with caplog.at_level("DEBUG", "snakemq.link"):
        run_until(lambda: caplog.text.count("the other side expired") >= 6, link, other)
    assert len(here) <= 2  # the listener may also tell that the other side was faster
    assert len(there) <= 2
    assert not link.connected
    assert not other.connected


def test_calendar_that_is_set_back_postpones_the_end(
    link: DiaryLink,
    other: DiaryLink,
    authority: Authority,
    calendar: Calendar,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("snakemq.link._connections._expiry.LOOK_AGAIN", 0.001)
    calendar.set(NOT_AFTER, -3600)
    connect(link, other, authority.config("server"), authority.config("expiring-client"))
    calendar.set(NOT_AFTER, -7200)
    passes = link.passes
    run_until(lambda: link.passes > passes + 10, link, other)
    assert link.open


def test_calendar_that_is_set_forward_is_noticed_without_waiting_for_the_end(
    link: DiaryLink,
    other: DiaryLink,
    authority: Authority,
    calendar: Calendar,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A machine that was suspended for a night, for example."""
    monkeypatch.setattr("snakemq.link._connections._expiry.LOOK_AGAIN", 0.001)
    told = failures(link)
    calendar.set(NOT_AFTER, -3600)
    connect(link, other, authority.config("server"), authority.config("expiring-client"))
    calendar.set(NOT_AFTER, 0)
    run_until(lambda: told, link, other)


def test_connection_that_ends_earlier_leaves_no_timer(
    link: DiaryLink, other: DiaryLink, authority: Authority, calendar: Calendar
) -> None:
    calendar.set(NOT_AFTER, -SOON)
    connect(link, other, authority.config("server"), authority.config("expiring-client"))
    timer = link.get_socket_by_conn(link.open[0]).deadline
    assert timer is not None
    assert timer.func is not None
    link.close(link.open[0])
    assert timer.func is None


def test_certificate_that_nobody_checks_may_expire(
    link: DiaryLink, other: DiaryLink, authority: Authority, calendar: Calendar
) -> None:
    calendar.set(NOT_AFTER, 1)
    connect(link, other, SSLConfig(*authority.issue("expiring-server")), SSLConfig())
    assert other.get_socket_by_conn(other.open[0]).expires_at is None


# -- sessions that are resumed


def close(link: DiaryLink, other: DiaryLink) -> None:
    """Let the client end the connection. OpenSSL 3.6 gives a session up if the server does so
    without an alert of TLS."""
    ours, theirs = link.open[-1], other.open[-1]
    other.close(theirs)
    run_until(lambda: ours in link.disconnected, link, other)


of_each_version = pytest.mark.parametrize(
    "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=lambda version: version.name
)


@of_each_version
def test_resumed_session_still_knows_the_certificates_of_both_sides(
    link: DiaryLink, other: DiaryLink, authority: Authority, version: ssl.TLSVersion
) -> None:
    context = resuming_client(authority, "client", version)
    connect(link, other, authority.config("server"), SSLConfig(context=context))
    first = [side.peer_credentials(side.open[0]) for side in (link, other)]
    keep_session(link, other, context)
    close(link, other)
    run_until(lambda: link.open and other.open, link, other)
    for side, before in zip((link, other), first, strict=True):
        assert socket_of(side).session_reused
        now = side.peer_credentials(side.open[0])
        assert now.is_verified
        assert now.certificate == before.certificate is not None
        assert now.certificate_fields == before.certificate_fields
        assert now.checked_against == before.checked_against


Names = tuple[str, str]


@of_each_version
@pytest.mark.parametrize(
    ("server", "client", "refusing"),
    [("server", "expiring-client", 0), ("expiring-server", "client", 1)],
    ids=["client", "server"],
)
def test_session_whose_certificate_has_expired_is_not_resumed(
    new_link: Callable[..., DiaryLink],
    authority: Authority,
    calendar: Calendar,
    server: str,
    client: str,
    refusing: int,
    version: ssl.TLSVersion,
) -> None:
    link, other = links = new_link(), new_link()
    told = failures(links[refusing])
    context = resuming_client(authority, client, version)
    connect(link, other, authority.config(server), SSLConfig(context=context))
    keep_session(link, other, context)
    calendar.set(NOT_AFTER, 1)
    close(link, other)
    connected = [*links[refusing].connected]
    run_until(lambda: told, link, other)
    assert isinstance(told[0].__cause__, CertificateExpired)
    assert links[refusing].connected == connected
