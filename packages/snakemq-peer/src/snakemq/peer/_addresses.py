"""Addresses as URLs: ``tcp://host:port``, ``tls://host:port``, ``unix:/path``."""

from __future__ import annotations

import os
import re
from typing import TypeAlias

from snakemq.link import Address, SSLConfig

AnyAddress: TypeAlias = "str | tuple[str, int] | os.PathLike[str]"
"""A URL, or an address as :class:`~snakemq.link.Link` takes it: ``("host", port)`` or a path."""

Endpoint: TypeAlias = "tuple[Address | os.PathLike[str], SSLConfig | None]"
"""An address for the link, and how to do TLS there."""

_FORMS = "tcp://host:port, tls://host:port or unix:/path"
_URL = re.compile(r"(?P<scheme>[a-z]+):(?P<rest>.*)", re.DOTALL)
_HOST_AND_PORT = re.compile(
    r"//(?:\[(?P<ipv6>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\[\]:/@?#\s]*)):(?P<port>[0-9]{1,5})/?"
)


def parse(address: AnyAddress, tls: SSLConfig | None) -> Endpoint:
    """Read what a user gives as an address.

    Raises ``ValueError`` for a URL that is wrong, or that does not go with ``tls``, and
    ``TypeError`` for anything that is not an address.
    """
    if tls is not None and not isinstance(tls, SSLConfig):
        raise TypeError(f"tls must be an SSLConfig, not {tls!r}")
    place = place_of(address)
    if isinstance(address, str):
        if address.startswith("tls:") and tls is None:
            raise ValueError(f"{address!r} needs certificates or keys: give tls=SSLConfig(...)")
        if address.startswith("tcp:") and tls is not None:
            raise ValueError(f"{address!r} is without TLS: write tls://, or leave tls= out")
    return place, tls


def place_of(address: AnyAddress) -> Address | os.PathLike[str]:
    """Return the address for the link. Raises ``ValueError`` for a URL that is wrong."""
    if not isinstance(address, str):
        return address  # the link checks it
    match = _URL.fullmatch(address)
    scheme = match["scheme"] if match is not None else ""
    if match is None or scheme not in ("tcp", "tls", "unix"):
        raise ValueError(f"{address!r} is not an address: write {_FORMS}")
    if scheme == "unix":
        return _path(address, match["rest"])
    place = _HOST_AND_PORT.fullmatch(match["rest"])
    if place is None:
        raise ValueError(f"{address!r} is not an address: write {scheme}://host:port")
    return place["ipv6"] or place["host"], int(place["port"])


def _path(url: str, rest: str) -> os.PathLike[str]:
    path = rest.removeprefix("//")
    if not path:
        raise ValueError(f"{url!r} has no path: write unix:/path")
    return _Path(path)


class _Path(os.PathLike[str]):
    """A path that the link does not take for a mistyped host and port, whatever it looks like."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __fspath__(self) -> str:
        return self._path


def to_url(address: Address, tls: SSLConfig | None) -> str:
    """Return the URL of an address of the link."""
    if isinstance(address, str):
        return f"unix:{address}"
    host, port = address
    scheme = "tcp" if tls is None else "tls"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
