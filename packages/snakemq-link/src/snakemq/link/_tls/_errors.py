"""What the errors of TLS mean, in plain words.

The module :mod:`ssl` is not imported here, see :mod:`._config`.
"""

from __future__ import annotations

_NOT_TLS = {
    "HTTP_REQUEST",
    "HTTPS_PROXY_REQUEST",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
    "UNEXPECTED_EOF_WHILE_READING",
    "UNKNOWN_PROTOCOL",
    "WRONG_VERSION_NUMBER",
}
"""The ``reason`` of an ``SSLError`` if OpenSSL gets plain text, or the end of the stream."""

_CERTIFICATE_REFUSED = {
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    "SSLV3_ALERT_CERTIFICATE_REVOKED",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    "TLSV1_ALERT_ACCESS_DENIED",
    "TLSV1_ALERT_UNKNOWN_CA",
}
"""The ``reason`` of an ``SSLError`` if the other side does not take the certificate of this one."""

_SOURCE_LINE = " (_ssl.c:"


def is_refusal(error: Exception | None) -> bool:
    """Return True if one side refuses the other; False if the network failed, or the end came."""
    if not isinstance(error, OSError):
        return error is not None
    # of an ssl.SSLError
    return getattr(error, "reason", None) not in (None, "UNEXPECTED_EOF_WHILE_READING")


def explained(exc: Exception, doing: str) -> Exception:
    """Make the same error with a readable text, on one line."""
    reason = getattr(exc, "reason", None)
    text = exc.strerror or str(exc) if isinstance(exc, OSError) else str(exc)
    if reason in _CERTIFICATE_REFUSED:
        doing += ": the other side refuses the certificate of this side"
    elif reason == "TLSV13_ALERT_CERTIFICATE_REQUIRED":
        doing += ": the other side demands a certificate of this side"
    text = f"{doing}: {without_source_line(text)}"
    if reason in _NOT_TLS:
        text += ": is it TLS?"
    if not hasattr(exc, "library"):
        return type(exc)(text)
    error = type(exc)(exc.errno, text)  # type: ignore[attr-defined]
    error.reason = reason  # type: ignore[attr-defined]
    return error


def without_source_line(text: str) -> str:
    """Cut off the line of Python's source with which the text of an ``SSLError`` ends."""
    return text.partition(_SOURCE_LINE)[0]
