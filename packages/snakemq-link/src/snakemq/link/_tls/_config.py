"""TLS settings of connectors and listeners.

The module :mod:`ssl` is imported when a configuration is made, and not together with this one: it
takes a seventh of the time of ``import snakemq.messaging``, and most processes do without TLS.
"""

from __future__ import annotations

import logging
import warnings
from typing import TYPE_CHECKING

from .._credentials import CertificateCheck

if TYPE_CHECKING:
    import ssl

    from . import _pem
    from ._psk import PSK
    from ._terms import Terms

_log = logging.getLogger("snakemq.link")

_EXACT_VERSIONS = ("TLSv1", "TLSv1_1", "TLSv1_2")


def check_server_hostname(context: ssl.SSLContext, name: str) -> None:
    """Raise ``ValueError`` for a name with which no handshake could begin."""
    import ssl

    try:
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"server_hostname {name!r} is not a host name: {exc}") from exc


class SSLConfig:
    """How a connector or a listener does TLS.

    Either files, as in snakeMQ 1.6::

        SSLConfig("peer.key", "peer.crt", ca_certs="root.crt", cert_reqs=ssl.CERT_REQUIRED)

    or a context of your own, for the side it is used on: ``SSLConfig(context=my_context)``; or
    pre-shared keys instead of certificates, with Python 3.13 and newer: ``SSLConfig(psk=...)``.

    ``keyfile``, ``certfile``: this peer's private key and certificate chain, PEM files. The key
    may be in the same file. A listener needs them.

    ``ca_certs``: PEM file with the certificates of the authorities that are trusted.

    ``cert_reqs``: ``ssl.CERT_REQUIRED``, ``CERT_OPTIONAL`` or ``CERT_NONE``: whether the other
    side must have a certificate that the authorities signed. By default it must if there are
    ``ca_certs``. Otherwise nothing is checked: the connection is encrypted, but to whom is unknown.
    That is logged as a warning.

    ``ssl_version``: one of ``ssl.PROTOCOL_*``. Best left alone: TLS 1.2 or newer is negotiated.

    ``check_hostname``: a connector also checks that the certificate is for the host it dials, or
    for ``server_hostname`` when that is given. It needs ``CERT_REQUIRED``.

    ``crl_file``: PEM file with the revocation lists of the authorities, one of each that signs the
    certificates of peers. A certificate that its authority has revoked is refused; so are all
    certificates of an authority whose list is missing or out of date. A connection that exists when
    a list comes stays. TLS sessions are not resumed, because that would not look at the lists.

    ``psk``: for a connector, ``(identity, key)``: who it is, and the key that the other side also
    has. For a listener, a mapping of such identities to keys. It is asked at each handshake, so it
    may change; what is in it now is checked here. Keys are 16 to 256 random bytes, for example from
    ``secrets.token_bytes(32)``. The connection uses TLS 1.3, and is forward secret. A peer without
    the right key is refused. :meth:`Link.peer_credentials` tells whose key it was.

    The files are first read when the configuration is used, so their errors come from
    ``add_connector`` and ``add_listener``: ``OSError`` or ``ssl.SSLError``, with the name of the
    file and of its parameter. Before each handshake, they are read again if they have changed, or
    been replaced; existing connections stay. If they cannot be read then, the old ones stay in use
    and a warning is logged. :meth:`reload` reads them at once. A context of your own is yours to
    keep up to date.
    """

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
        crl_file: str | None = None,
        psk: PSK | None = None,
    ) -> None:
        import ssl

        if psk is not None:
            from . import _psk

            _psk.check(psk)
            others = (keyfile, certfile, ca_certs, crl_file, cert_reqs, context, ssl_version)
            if any(setting is not None for setting in others) or check_hostname:
                raise ValueError(
                    "with psk, both sides are checked by the key: give no certificates, "
                    "requirements, context or version"
                )
        if context is not None:
            checked = (keyfile, certfile, ca_certs, crl_file, cert_reqs)
            if any(setting is not None for setting in checked):
                raise ValueError("give either a context or files and requirements, not both")
            if check_hostname or ssl_version is not None:
                raise ValueError("set check_hostname and the TLS versions of the context itself")
        versions = {value for name, value in vars(ssl).items() if name.startswith("PROTOCOL_")}
        if ssl_version is not None and ssl_version not in versions:
            raise ValueError(f"ssl_version must be one of ssl.PROTOCOL_*, not {ssl_version!r}")
        if cert_reqs is None:
            cert_reqs = ssl.CERT_REQUIRED if ca_certs else ssl.CERT_NONE
        if check_hostname and context is None and cert_reqs != ssl.CERT_REQUIRED:
            raise ValueError("check_hostname needs cert_reqs=ssl.CERT_REQUIRED")
        if ca_certs is None and cert_reqs != ssl.CERT_NONE and context is None:
            raise ValueError("certificates can only be checked with ca_certs")
        if crl_file is not None and (ca_certs is None or cert_reqs == ssl.CERT_NONE):
            raise ValueError("crl_file needs certificates that are checked: give ca_certs")
        self.keyfile = keyfile
        self.certfile = certfile
        self.cert_reqs: ssl.VerifyMode = ssl.VerifyMode(cert_reqs)
        self.ssl_version = ssl_version
        self.ca_certs = ca_certs
        self.crl_file = crl_file
        self.check_hostname = check_hostname
        self.server_hostname = server_hostname
        self._psk = psk
        self._context = context
        self._contexts: dict[bool, _Loaded] = {}  # by server_side

    def get_context(self, *, server_side: bool) -> ssl.SSLContext:
        """Return the context for one side, so that you can set what this class cannot. Thread-safe.

        From now on it is always the same one. When the files have changed, certificate and key are
        loaded into it, and new authorities and revocation lists are added; authorities that are
        gone from ``ca_certs`` stay trusted in a context that was given out.

        Raises ``OSError`` and ``ssl.SSLError`` for the files, and ``ValueError`` when this
        configuration does not fit that side, or has pre-shared keys: with other settings, they
        might not prove anything any more.
        """
        if self._psk is not None:
            raise ValueError("the context for pre-shared keys is not given out")
        context = self._current_context(server_side)
        loaded = self._contexts.get(server_side)
        if loaded is not None:
            loaded.is_given_out = True
        return context

    def reload(self) -> None:
        """Read all files again, for the connections that are made from now on. Thread-safe.

        This is not needed for files that are replaced, which is noticed by itself. It tells at once
        whether the new files can be used, and it also reads files that have changed although their
        time and their size are the same.

        Raises ``OSError``, ``ssl.SSLError`` and ``ValueError`` as :meth:`get_context` does; then
        the old files stay in use. Does nothing if there are no files, or if none has been read yet.
        """
        from . import _pem

        for server_side, loaded in list(self._contexts.items()):
            if self._psk is None:
                self._replace(loaded, _pem.state_of(self._files), server_side)

    def current_context(self, *, server_side: bool) -> ssl.SSLContext:
        """Return the context for the next connection, with the files as they are now. Not for
        users.

        Raises what :meth:`get_context` does, but only the first time: later, files that cannot be
        loaded are a warning, and the old context stays in use.
        """
        if self._is_subclassed:
            return self.get_context(server_side=server_side)  # a subclass makes its own
        return self._current_context(server_side)

    def current_terms(self, *, server_side: bool) -> Terms:
        """Return how the next handshake is done, with :meth:`current_context`. Not for users."""
        import ssl

        from ._terms import Terms

        context = self.current_context(server_side=server_side)
        loaded = self._contexts.get(server_side)
        if self._psk is not None or context.verify_mode == ssl.CERT_NONE:
            check = CertificateCheck.NONE
        elif loaded is None or loaded.is_given_out or self._is_subclassed:
            check = CertificateCheck.CONTEXT
        else:
            check = CertificateCheck.CA_CERTS
        by_key = self._psk is not None and not self._is_subclassed
        return Terms(context, check, by_key, may_resume=self.crl_file is None)

    @property
    def _is_subclassed(self) -> bool:
        return type(self).get_context is not SSLConfig.get_context

    def _current_context(self, server_side: bool) -> ssl.SSLContext:
        import ssl

        if self._context is not None:
            other_side = ssl.PROTOCOL_TLS_CLIENT if server_side else ssl.PROTOCOL_TLS_SERVER
            if self._context.protocol == other_side:
                raise ValueError(
                    f"a {'listener' if server_side else 'connector'} cannot use a context that "
                    f"was made with {other_side.name}"
                )
            return self._context
        from . import _pem

        # Before they are loaded, so that the next call notices what is written meanwhile.
        state = _pem.state_of(self._files)
        loaded = self._contexts.get(server_side)
        if loaded is None:
            # No lock, which could not be copied to another process. If two threads come at once,
            # one makes its context in vain.
            loaded = _Loaded(self._make_context(server_side), state)
            loaded = self._contexts.setdefault(server_side, loaded)
            if self.cert_reqs == ssl.CERT_NONE and self._psk is None:
                _log.warning(
                    "TLS does not check the certificate of the other side: give SSLConfig ca_certs"
                )
        elif loaded.state != state:
            self._load_again(loaded, state, server_side)
        return loaded.context

    @property
    def _files(self) -> dict[str, str]:
        """The paths of the files, by the names of their parameters."""
        files = {
            "keyfile": self.keyfile,
            "certfile": self.certfile,
            "ca_certs": self.ca_certs,
            "crl_file": self.crl_file,
        }
        return {parameter: path for parameter, path in files.items() if path is not None}

    def _load_again(self, loaded: _Loaded, state: _pem.State, server_side: bool) -> None:
        try:
            self._replace(loaded, state, server_side)
        except (OSError, ValueError) as exc:
            # Perhaps they are just being written, so each connection tries again.
            if loaded.complaint != str(exc):
                loaded.complaint = str(exc)
                _log.warning("cannot load changed TLS files, the old ones stay in use: %s", exc)

    def _replace(self, loaded: _Loaded, state: _pem.State, server_side: bool) -> None:
        """Load the files again, which are in this state. If that raises, nothing has changed."""
        from . import _pem

        context = self._make_context(server_side)
        if loaded.is_given_out:
            _pem.load_files(loaded.context, self._files)
        else:
            loaded.context = context
        loaded.state = state
        loaded.complaint = None
        _log.info("loaded the changed TLS files: %s", ", ".join(map(repr, self._files.values())))

    def _make_context(self, server_side: bool) -> ssl.SSLContext:
        import ssl

        if self._psk is not None:
            from . import _psk

            return _psk.make_context(self._psk, server_side=server_side)
        from . import _pem

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
        _pem.load_files(context, self._files)
        if self.crl_file is not None:
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
            # A resumed session is not looked up in the lists. OpenSSL would still let TLS 1.2
            # resume some: those are refused, see Terms.
            context.options |= ssl.OP_NO_TICKET
            if server_side:
                context.num_tickets = 0
        if server_side and self.certfile is None:
            raise ValueError("a TLS listener needs a certfile")
        return context


class _Loaded:
    """A context, and the state of the files that it was made from."""

    def __init__(self, context: ssl.SSLContext, state: _pem.State) -> None:
        self.context = context
        self.state = state
        self.is_given_out = False
        """Does the user have it, and may have changed its settings?"""
        self.complaint: str | None = None
        """Why changed files could not be loaded the last time."""
