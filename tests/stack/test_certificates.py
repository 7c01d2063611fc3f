"""What becomes of a certificate after the handshake, as the user of messaging hears of it."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from snakemq.exceptions import CertificateExpired, ConnectFailed
from snakemq.link import SSLConfig
from tests.support.running_stack import Stack

NOT_AFTER = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)


class Authority:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self.root = folder / "root.crt"
        self._authority.cert_pem.write_to_path(str(self.root))

    def config(self, name: str, not_after: datetime | None = None) -> SSLConfig:
        certificate = self._authority.issue_cert(name, not_after=not_after)
        key, chain = (str(self._folder / f"{name}.{end}") for end in ("key", "crt"))
        certificate.private_key_pem.write_to_path(key)
        certificate.cert_chain_pems[0].write_to_path(chain)
        return SSLConfig(key, chain, ca_certs=str(self.root), cert_reqs=ssl.CERT_REQUIRED)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def alice() -> Iterator[Stack]:
    stack = Stack("alice")
    yield stack
    stack.close()


@pytest.fixture
def bob() -> Iterator[Stack]:
    stack = Stack("bob")
    yield stack
    stack.close()


def test_connection_ends_when_the_certificate_expires_and_on_error_says_so(
    alice: Stack, bob: Stack, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = 0.0
    monkeypatch.setattr("snakemq.link._connections._expiry.LOOK_AGAIN", 0.01)
    monkeypatch.setattr(
        "snakemq.link._connections._expiry.wall_clock", lambda: time.time() + days * 86400
    )
    bob.dial(alice.listen(ssl_config=authority.config("alice")), authority.config("bob", NOT_AFTER))
    alice.until_connected("bob")
    bob.until_connected("alice")
    days = 2.0
    problem = alice.problem(ConnectFailed)
    assert isinstance(problem.error.__cause__, CertificateExpired)
    alice.until(lambda: alice.disconnected)
    bob.until(lambda: bob.disconnected)


def test_both_sides_hear_that_the_listener_refuses_a_certificate(
    alice: Stack, bob: Stack, authority: Authority, tmp_path: Path
) -> None:
    """With TLS 1.3, bob's handshake is done by then."""
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other")
    address = alice.listen(ssl_config=authority.config("alice"))
    refused = stranger.config("bob")
    refused = SSLConfig(refused.keyfile, refused.certfile, ca_certs=str(authority.root))
    bob.dial(address, refused)
    assert "certificate verify failed" in str(alice.problem(ConnectFailed).error)
    told = str(bob.problem(ConnectFailed).error)
    assert "the other side refuses the certificate of this side" in told
    assert not alice.connected
    assert not bob.connected
