"""TLS settings of connectors and listeners.

The module :mod:`ssl` is imported when a configuration is made, and not together with this one: it
takes a seventh of the time of ``import snakemq.messaging``, and most processes do without TLS.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

_log = logging.getLogger("snakemq.link")

_EXACT_VERSIONS = ("TLSv1", "TLSv1_1", "TLSv1_2")

NOT_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "UNKNOWN_PROTOCOL"}
"""What OpenSSL says, as the ``reason`` of an ``SSLError``, when plain text comes."""


class SSLConfig:
    """How a connector or a listener does TLS.

    Either files, as in snakeMQ 1.6::

        SSLConfig("peer.key", "peer.crt", ca_certs="root.crt", cert_reqs=ssl.CERT_REQUIRED)

    or a context of your own, for the side it is used on: ``SSLConfig(context=my_context)``.

    ``keyfile``, ``certfile``: this peer's private key and certificate chain, PEM files. The key
    may be in the same file. A listener needs them.

    ``ca_certs``: PEM file with the certificates of the authorities that are trusted.

    ``cert_reqs``: ``ssl.CERT_REQUIRED``, ``CERT_OPTIONAL`` or ``CERT_NONE``: must the other
    side have a certificate that the authorities signed? When not given: required if there are
    ``ca_certs``, else not checked at all, which is encryption without knowing with whom and is
    logged as a warning.

    ``ssl_version``: one of ``ssl.PROTOCOL_*``. Best left alone: TLS 1.2 or newer is negotiated.

    ``check_hostname``: a connector also checks that the certificate is made out to the host
    it dials, or to ``server_hostname`` when that is given. It needs ``CERT_REQUIRED``.

    The files are read when the configuration is used first, so errors of theirs come from
    ``add_connector`` and ``add_listener`` as ``OSError`` or ``ssl.SSLError``.
    """

    __module__ = "snakemq.link"

    def __init__(
        self,
        keyfile: str | None = None,
        certfile: str | None = None,
        cert_reqs: ssl.VerifyMode | int | None = None,
        ssl_version: int | None = None,
        ca_certs: str | None = None,
        *,
        context: ssl.SSLContext | None = None,
        check_hostname: bool = False,
        server_hostname: str | None = None,
    ) -> None:
        import ssl

        if context is not None:
            if any(setting is not None for setting in (keyfile, certfile, ca_certs, cert_reqs)):
                raise ValueError("give either a context or files and requirements, not both")
            if check_hostname or ssl_version is not None:
                raise ValueError("set check_hostname and the TLS versions of the context itself")
        versions = {value for name, value in vars(ssl).items() if name.startswith("PROTOCOL_")}
        if ssl_version is not None and ssl_version not in versions:
            raise ValueError(f"ssl_version is one of ssl.PROTOCOL_*, not {ssl_version!r}")
        if cert_reqs is None:
            cert_reqs = ssl.CERT_REQUIRED if ca_certs else ssl.CERT_NONE
        if check_hostname and context is None and cert_reqs != ssl.CERT_REQUIRED:
            raise ValueError("check_hostname needs cert_reqs=ssl.CERT_REQUIRED")
        if ca_certs is None and cert_reqs != ssl.CERT_NONE and context is None:
            raise ValueError("certificates can only be checked with ca_certs")
        self.keyfile = keyfile
        self.certfile = certfile
        self.cert_reqs = ssl.VerifyMode(cert_reqs)
        self.ssl_version = ssl_version
        self.ca_certs = ca_certs
        self.check_hostname = check_hostname
        self.server_hostname = server_hostname
        self._context = context
        self._contexts: dict[bool, ssl.SSLContext] = {}

    def get_context(self, *, server_side: bool) -> ssl.SSLContext:
        """The context for one side; always the same one. Thread-safe.

        Raises ``OSError`` and ``ssl.SSLError`` of the files, and ``ValueError`` when this
        configuration is not one for that side.
        """
        import ssl

        if self._context is not None:
            other_side = ssl.PROTOCOL_TLS_CLIENT if server_side else ssl.PROTOCOL_TLS_SERVER
            if self._context.protocol == other_side:
                raise ValueError(
                    f"a {'listener' if server_side else 'connector'} cannot use a context that "
                    f"was made with {other_side.name}"
                )
            return self._context
        context = self._contexts.get(server_side)
        if context is None:
            # No lock, which could not be copied to another process. Of two threads one makes its
            # context in vain.
            context = self._contexts.setdefault(server_side, self._make_context(server_side))
        return context

    def _make_context(self, server_side: bool) -> ssl.SSLContext:
        import ssl

        context = ssl.SSLContext(
            ssl.PROTOCOL_TLS_SERVER if server_side else ssl.PROTOCOL_TLS_CLIENT
        )
        context.check_hostname = self.check_hostname and not server_side
        context.verify_mode = self.cert_reqs
        # A renegotiation makes a read wait for a write; nobody needs it.
        context.options |= ssl.OP_NO_RENEGOTIATION
        for name in _EXACT_VERSIONS:
            constant = getattr(ssl, f"PROTOCOL_{name}", None)
            if self.ssl_version is not None and self.ssl_version == constant:
                version = ssl.TLSVersion[name]
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)  # the user asked for it
                    context.minimum_version = context.maximum_version = version
        if self.certfile is not None:
            files = [self.certfile] if self.keyfile is None else [self.certfile, self.keyfile]
            with _named("certificate and key", files):
                context.load_cert_chain(self.certfile, self.keyfile)
        elif server_side:
            raise ValueError("a TLS listener needs a certfile")
        if self.ca_certs is not None:
            with _named("ca_certs", [self.ca_certs]):
                context.load_verify_locations(self.ca_certs)
        if self.cert_reqs == ssl.CERT_NONE:
            _log.warning("TLS without checking the other side's certificate: anybody can be there")
        return context


@contextmanager
def _named(what: str, files: Sequence[str]) -> Iterator[None]:
    """Errors of the ssl module with the names of the files, which it keeps to itself."""
    import ssl

    for file in files:
        with open(file, "rb"):  # what cannot be opened is named by this
            pass
    try:
        yield
    except ssl.SSLError as exc:
        names = ", ".join(map(repr, files))
        named = type(exc)(exc.errno, f"cannot load {what} from {names}: {exc.strerror}")
        named.library, named.reason = exc.library, exc.reason
        raise named from exc
