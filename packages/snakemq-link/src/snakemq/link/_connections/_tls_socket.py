"""One connection of a link that does TLS."""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, Any, cast

from .._credentials import CertificateCheck, PeerCredentials
from .._loop._poller import READ, WRITE
from .._tls import _psk
from ._socket import Dialler, LinkSocket

if TYPE_CHECKING:
    from .._interface import BytesLike
    from .._tls._terms import Terms

_SEND_SIZE = 1024 * 1024

_WANTS = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


class TLSLinkSocket(LinkSocket):
    """Raises the same errors as one without TLS, so that its users need not know :mod:`ssl`."""

    __slots__ = ("_certificate", "_fields", "_terms", "_tls", "_used_key")

    keeps_bytes = True

    def __init__(
        self,
        sock: ssl.SSLSocket,
        conn_id: str,
        remote_peer: object,
        connector: Dialler | None,
        terms: Terms,
    ) -> None:
        super().__init__(sock, conn_id, remote_peer, connector)
        self._tls = sock
        self._terms = terms
        self._used_key: tuple[str, bytes] | None = None
        # As they are when the handshake is done. OpenSSL does not tell them any more if the other
        # side has gone without ceremony, while what it has sent before still waits to be handled.
        self._certificate: bytes | None = None
        self._fields: dict[str, Any] | None = None
        self.recv = self._recv_records
        self.send = self._send_records

    @property
    def is_tls(self) -> bool:
        return True

    def getpeercert(self, binary_form: bool = False) -> dict[str, Any] | bytes | None:
        return self._certificate if binary_form else self._fields

    def credentials(self) -> PeerCredentials:
        identity, digest = self._used_key or (None, None)
        checked_against = self._terms.checked_against
        is_checked = checked_against is not CertificateCheck.NONE
        fields = self._fields if is_checked else None
        return PeerCredentials(
            address=self.remote_peer,
            dialled=self.dialled,
            expected_ident=self.expected_ident,
            unix=self.unix_credentials(),
            is_tls=True,
            checked_against=checked_against,
            certificate=self._certificate,
            certificate_fields=fields or {},
            psk_identity=identity,
            psk_key_digest=digest,
        )

    def shake_hands(self) -> int:
        return self._prove_by_key() if self._terms.by_key else self._prove_by_certificate()

    def _prove_by_certificate(self) -> int:
        event = self._shake_hands()
        if event:
            return event
        if self._tls.session_reused and not self._terms.may_resume:
            raise ssl.SSLError("the peer resumes a session, so it might be revoked by now")
        self._certificate = self._tls.getpeercert(binary_form=True)
        self._fields = cast("dict[str, Any] | None", self._tls.getpeercert())
        if self._terms.checked_against is not CertificateCheck.NONE and self._fields:
            self.expires_at = ssl.cert_time_to_seconds(self._fields["notAfter"])
        return 0

    def _prove_by_key(self) -> int:
        _psk.begin_step()
        try:
            event = self._shake_hands()
        except ssl.SSLError as exc:
            _psk.explain(exc)
            raise
        finally:
            self._used_key = _psk.used_in_step() or self._used_key
        if not event and not self._tls.session_reused:
            # OpenSSL counts a key that was shared before as a session. Our contexts admit nothing
            # else, so this is a second lock.
            raise ssl.SSLError("the handshake did not use the pre-shared key")
        return event

    def _shake_hands(self) -> int:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return READ
        except ssl.SSLWantWriteError:
            return WRITE
        return 0

    def _recv_records(self, size: int) -> bytes:
        """Read until TLS has no more: it gives one record of at most 16 KiB at a time, and the
        poller does not see what it has decrypted already."""
        sock = self._tls
        try:
            data = sock.recv(size)
        except _WANTS:
            raise BlockingIOError from None
        if not data:
            return data
        records = [data]
        received = len(data)
        # OSError: it will come again at the next read, after this data has been handed over
        with contextlib.suppress(OSError):
            while received < size or sock.pending():
                data = sock.recv(size)
                if not data:
                    break
                records.append(data)
                received += len(data)
        return b"".join(records)

    def _send_records(self, data: BytesLike) -> int:
        """Send a piece that is small enough for the other connections to wait. TLS takes all of it
        or nothing, and once it has encrypted a record that it could not send, it insists on the
        same data."""
        try:
            return self._tls.send(memoryview(data)[:_SEND_SIZE])
        except _WANTS:
            raise BlockingIOError from None
