import os
from pathlib import Path

import pytest

from snakemq.link import SSLConfig
from snakemq.peer._addresses import parse, to_url

TLS = SSLConfig(certfile="peer.crt", keyfile="peer.key")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("tcp://bob.example:4000", ("bob.example", 4000)),
        ("tcp://bob.example:4000/", ("bob.example", 4000)),
        ("tcp://0.0.0.0:0", ("0.0.0.0", 0)),
        ("tcp://:4000", ("", 4000)),
        ("tcp://[::1]:4000", ("::1", 4000)),
        ("tcp://[fe80::1%eth0]:4000", ("fe80::1%eth0", 4000)),
    ],
)
def test_url_names_a_host_and_a_port(url: str, address: tuple[str, int]) -> None:
    assert parse(url, None) == (address, None)


def test_url_of_tls_goes_with_its_settings() -> None:
    assert parse("tls://bob.example:4000", TLS) == (("bob.example", 4000), TLS)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("unix:/run/bob.sock", "/run/bob.sock"),
        ("unix:///run/bob.sock", "/run/bob.sock"),
        ("unix:bob.sock", "bob.sock"),
        ("unix:host:4000", "host:4000"),
    ],
)
def test_url_names_a_unix_socket(url: str, path: str) -> None:
    assert os.fspath(parse(url, None)[0]) == path  # type: ignore[arg-type]


@pytest.mark.parametrize("address", [("127.0.0.1", 4000), Path("/run/bob.sock")])
def test_address_of_the_link_is_passed_on(address: tuple[str, int] | Path) -> None:
    assert parse(address, None) == (address, None)


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("bob.example:4000", "tcp://host:port, tls://host:port or unix:/path"),
        ("/run/bob.sock", "tcp://host:port, tls://host:port or unix:/path"),
        ("http://bob.example:80", "tcp://host:port, tls://host:port or unix:/path"),
        ("", "tcp://host:port, tls://host:port or unix:/path"),
        ("tcp://bob.example", "write tcp://host:port"),
        ("tcp:bob.example:4000", "write tcp://host:port"),
        ("tcp://::1:4000", "write tcp://host:port"),
        ("tcp://user@bob.example:4000", "write tcp://host:port"),
        ("tcp://bob.example:4000/path", "write tcp://host:port"),
        ("tcp://bob.example:port", "write tcp://host:port"),
        ("unix:", "write unix:/path"),
        ("unix://", "write unix:/path"),
        ("tls://bob.example:4000", r"give tls=SSLConfig\(\.\.\.\)"),
    ],
)
def test_error_about_a_wrong_url_says_how_to_write_it(url: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        parse(url, None)


def test_url_without_tls_goes_without_its_settings() -> None:
    with pytest.raises(ValueError, match="write tls://"):
        parse("tcp://bob.example:4000", TLS)


def test_tls_is_an_ssl_config() -> None:
    with pytest.raises(TypeError, match="tls must be an SSLConfig, not 'peer"):
        parse("tls://bob.example:4000", "peer.crt")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "url", ["tcp://127.0.0.1:4000", "tcp://[::1]:4000", "tcp://bob:1", "unix:/run/bob.sock"]
)
def test_url_of_a_parsed_url_is_the_url(url: str) -> None:
    address = parse(url, None)[0]
    assert to_url(os.fspath(address) if isinstance(address, os.PathLike) else address, None) == url


def test_url_of_an_address_with_tls_says_so() -> None:
    assert to_url(("127.0.0.1", 4000), TLS) == "tls://127.0.0.1:4000"
