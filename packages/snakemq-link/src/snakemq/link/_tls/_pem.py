"""The PEM files of a TLS configuration, loaded with errors that say which one is to blame."""

from __future__ import annotations

import os
import ssl
from typing import NoReturn

from ._errors import without_source_line

State = tuple["tuple[int, int, int] | None", ...]
"""Fingerprint of some files. If it changes, at least one of them was replaced or written."""


def state_of(files: dict[str, str]) -> State:
    """Return the state of ``files``, which are paths by the names of their parameters."""
    return tuple(_file_state(path) for path in files.values())


def _file_state(path: str) -> tuple[int, int, int] | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


def load_files(context: ssl.SSLContext, files: dict[str, str]) -> None:
    """Load the files into a context.

    Raises ``OSError`` with the name of the file, ``ssl.SSLError`` and ``ValueError``.
    """
    for parameter, path in files.items():
        try:
            with open(path, "rb"):
                pass
        except OSError as exc:
            text = f"{exc.strerror}: the {parameter} of SSLConfig"
            raise type(exc)(exc.errno, text, exc.filename) from exc
    parameters = ("keyfile", "certfile", "ca_certs", "crl_file")
    keyfile, certfile, ca_certs, crl_file = map(files.get, parameters)
    if certfile is not None:
        try:
            context.load_cert_chain(certfile, keyfile, _no_password)
        except (ssl.SSLError, _EncryptedKey) as exc:
            _blame_chain(certfile, keyfile, exc)
    elif keyfile is not None:
        raise ValueError(f"keyfile {keyfile!r} without a certfile: give the certificate too")
    if ca_certs is not None:
        try:
            context.load_verify_locations(ca_certs)
        except ssl.SSLError as exc:
            _blame(exc, f"ca_certs {ca_certs!r} has no certificate that can be read")
    if crl_file is not None:
        _check_revocation_lists(crl_file)
        context.load_verify_locations(crl_file)


def _check_revocation_lists(crl_file: str) -> None:
    """Raise ``ssl.SSLError`` if the file has anything but lists: OpenSSL would trust certificates
    that are in it, as authorities."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(crl_file)
    except ssl.SSLError as exc:
        _blame(exc, f"crl_file {crl_file!r} has no revocation list that can be read")
    if context.cert_store_stats()["x509"]:
        raise ssl.SSLError(f"crl_file {crl_file!r} has certificates in it: put them into ca_certs")


class _EncryptedKey(Exception):
    pass


def _no_password() -> NoReturn:
    """Refuse to give a password, for which OpenSSL would otherwise ask on the terminal."""
    raise _EncryptedKey


def _blame_chain(certfile: str, keyfile: str | None, exc: Exception) -> NoReturn:
    key = f"certfile {certfile!r}" if keyfile is None else f"keyfile {keyfile!r}"
    if isinstance(exc, _EncryptedKey):
        text = f"the key in {key} is encrypted: decrypt it, or use SSLConfig(context=...)"
    elif getattr(exc, "reason", None) in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
        text = f"the key in {key} does not belong to the certificate in certfile {certfile!r}"
    elif _has_certificates(certfile):
        text = f"{key} has no private key that can be read"
        if keyfile is None:
            text += "; if the key is in a file of its own, give a keyfile"
    else:
        text = f"certfile {certfile!r} has no certificate that can be read"
    _blame(exc, text)


def _has_certificates(certfile: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(certfile)
    except (OSError, ssl.SSLError):
        return False
    return True


def _blame(exc: Exception, text: str) -> NoReturn:
    original = exc if isinstance(exc, ssl.SSLError) else None
    if original is not None:
        text = f"{text} ({without_source_line(original.strerror or '')})"
    error = ssl.SSLError(None if original is None else original.errno, text)
    error.library = "SSL" if original is None else original.library
    error.reason = "BAD_PASSWORD_READ" if original is None else original.reason
    raise error from exc
