"""Clients that resume their TLS session, which connectors by themselves do not."""

from __future__ import annotations

import ssl
from typing import Any

from certificates import Authority
from real_links import DiaryLink, run_until


class Resuming(ssl.SSLContext):
    """Resumes the session that it is given."""

    session: ssl.SSLSession | None = None

    def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
        return super().wrap_socket(*args, **options | {"session": self.session})


def resuming_client(authority: Authority, name: str, version: ssl.TLSVersion) -> Resuming:
    context = Resuming(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_cert_chain(*reversed(authority.issue(name)))
    context.load_verify_locations(authority.ca_certs)
    context.maximum_version = version
    return context


def socket_of(link: DiaryLink) -> ssl.SSLSocket:
    sock = link.get_socket_by_conn(link.open[-1]).sock
    assert isinstance(sock, ssl.SSLSocket)
    return sock


def keep_session(link: DiaryLink, other: DiaryLink, context: Resuming) -> None:
    """Keep the session of the client, which TLS 1.3 sends along with the first data."""
    link.send(link.open[-1], b"hello")
    run_until(lambda: other.received[other.open[-1]], link, other)
    context.session = socket_of(other).session
    assert context.session is not None
