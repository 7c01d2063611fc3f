"""Addresses as users write them, and what the socket module needs to know."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from snakemq.exceptions import SnakeMQException
from snakemq.link import Address, Link
from snakemq.link._dialling._address import normalize
from snakemq.link._dialling._endpoint import Endpoint, literal, public_address, resolve


@pytest.mark.parametrize(
    ("given", "address"),
    [
        (("localhost", 4000), ("localhost", 4000)),
        (["localhost", 4000], ("localhost", 4000)),
        (("", 0), ("", 0)),
        (("::1", 65535), ("::1", 65535)),
        ("/run/peer.socket", "/run/peer.socket"),
        (b"/run/peer.socket", "/run/peer.socket"),
        (Path("peer.socket"), "peer.socket"),
        ("./localhost:4000", "./localhost:4000"),
        (Path("localhost:4000"), "./localhost:4000"),
        (b"localhost:4000", "./localhost:4000"),
        ("/run/localhost:4000", "/run/localhost:4000"),
        ("localhost:http", "localhost:http"),
    ],
)
def test_every_form_of_an_address_is_accepted(given: object, address: Address) -> None:
    assert normalize(given) == address


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        (None, TypeError, "None"),
        (4000, TypeError, "4000"),
        (("localhost",), TypeError, "localhost"),
        (("localhost", "4000"), TypeError, "'4000'"),
        ((b"localhost", 4000), TypeError, "b'localhost'"),
        (("::1", 4000, 0, 0), TypeError, "4000"),
        (("localhost", -1), ValueError, "-1"),
        (("localhost", 65536), ValueError, "65536"),
        (("local\0host", 4000), ValueError, "host name"),
        ("localhost:4000", ValueError, r"write \('localhost', 4000\), .* './localhost:4000'"),
        (":4000", ValueError, r"write \('', 4000\)"),
        ("[::1]:4000", ValueError, r"write \('::1', 4000\)"),
        ("", ValueError, "empty"),
        ("/tmp/" + "x" * 200, ValueError, "at most"),
        ("\0abstract", ValueError, "zero"),
    ],
)
def test_wrong_addresses_are_refused_at_once_and_the_message_shows_them(
    wrong: Any, error: type[Exception], says: str
) -> None:
    link = Link()
    try:
        for method in (link.add_connector, link.add_listener, link.del_connector):
            with pytest.raises(error, match=says) as caught:
                method(wrong)
            assert not isinstance(caught.value, SnakeMQException)
    finally:
        link.cleanup()


def test_port_zero_cannot_be_dialled() -> None:
    link = Link()
    with pytest.raises(ValueError, match="port 0"):
        link.add_connector(("localhost", 0))
    link.cleanup()


def test_longest_path_that_is_accepted_can_be_listened_on(tmp_path: Path) -> None:
    folder = os.open(tmp_path, os.O_RDONLY)
    here = os.open(".", os.O_RDONLY)
    link = Link()
    try:
        os.chdir(folder)  # the path is as long as it may be, wherever the folder is
        path = "x" * (107 if os.uname().sysname == "Linux" else 103)
        assert link.add_listener(path) == path
        with pytest.raises(ValueError, match="at most"):
            link.add_listener(path + "x")
        link.del_listener(path)
    finally:
        link.cleanup()
        os.chdir(here)
        os.close(folder)
        os.close(here)


def test_literal_addresses_need_no_resolver() -> None:
    assert literal(("127.0.0.1", 1)) == Endpoint(socket.AF_INET, ("127.0.0.1", 1))
    assert literal(("::1", 1)) == Endpoint(socket.AF_INET6, ("::1", 1, 0, 0))
    assert literal("/a/path") == Endpoint(socket.AF_UNIX, "/a/path")
    assert literal(("localhost", 1)) is None
    assert literal(("label-" * 20, 1)) is None


def test_empty_host_is_all_interfaces_to_listen_and_this_machine_to_dial() -> None:
    assert literal(("", 1), listening=True) == Endpoint(socket.AF_INET, ("0.0.0.0", 1))
    assert literal(("", 1)) == Endpoint(socket.AF_INET, ("127.0.0.1", 1))


def test_resolver_gives_each_endpoint_once_in_the_order_of_the_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def getaddrinfo(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", port, 0, 0))
        four = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))
        return [six, four, six]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert resolve(("example.org", 7)) == [
        Endpoint(socket.AF_INET6, ("2001:db8::1", 7, 0, 0)),
        Endpoint(socket.AF_INET, ("192.0.2.1", 7)),
    ]


@pytest.mark.parametrize("host", ["x" * 70, "a..b"])
def test_impossible_host_names_raise_os_error_like_unknown_ones(
    host: str,
) -> None:
    with pytest.raises(OSError, match=r".+"):
        resolve((host, 1))


def test_link_local_address_keeps_its_interface() -> None:
    class Bound:
        def getsockname(self) -> tuple[object, ...]:
            return "fe80::1", 4000, 0, 3

    endpoint = Endpoint(socket.AF_INET6, ("fe80::1", 4000, 0, 3))
    assert public_address(endpoint, Bound()) == ("fe80::1%3", 4000)  # type: ignore[arg-type]
