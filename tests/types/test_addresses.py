"""The kind of an address that goes in is the kind that comes out: `nox -s types` checks it."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

from snakemq.link import Address, Link


def test_kind_of_an_address_is_known_to_the_type_checker(tmp_path: Path) -> None:
    link = Link()
    try:
        host, port = assert_type(link.add_listener(("127.0.0.1", 0)), tuple[str, int])
        path = assert_type(link.add_listener(tmp_path / "peer.socket"), str)
        assert (host, path) == ("127.0.0.1", str(tmp_path / "peer.socket"))
        assert assert_type(link.add_connector((host, port)), tuple[str, int]) == (host, port)
        assert assert_type(link.add_connector(path), str) == path
    finally:
        link.cleanup()


def add_either(link: Link, address: Address) -> None:
    """One that is read from a configuration."""
    assert_type(link.add_listener(address), Address)
    assert_type(link.add_connector(address), Address)
