"""Settings of TLS: the files and constants of 1.6, or a context of one's own."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Authority
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from real_links import DEADLINE, LOCALHOST, DiaryLink, run_until

from snakemq.link import SSLConfig


def version_between(
    link: DiaryLink, other: DiaryLink, server: SSLConfig, client: SSLConfig
) -> str | None:
    other.add_connector(link.add_listener(LOCALHOST, server), ssl_config=client)
    run_until(lambda: link.open and other.open, link, other)
    sock = other.get_socket_by_conn(other.open[-1]).sock
    assert isinstance(sock, ssl.SSLSocket)
    return sock.version()


def test_newest_version_is_negotiated(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    server, client = authority.config("server"), authority.config("client")
    assert version_between(link, other, server, client) == "TLSv1.3"


@pytest.mark.parametrize("name", ["PROTOCOL_TLS", "PROTOCOL_SSLv23", "PROTOCOL_TLS_CLIENT"])
def test_constants_for_any_version_negotiate(
    link: DiaryLink, other: DiaryLink, authority: Authority, name: str
) -> None:
    client = authority.config("client", ssl_version=getattr(ssl, name))
    assert version_between(link, other, authority.config("server"), client) == "TLSv1.3"


def test_constant_for_one_version_is_kept_to(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    server = authority.config("server", ssl_version=ssl.PROTOCOL_TLSv1_2)
    assert version_between(link, other, server, authority.config("client")) == "TLSv1.2"


@pytest.mark.parametrize("name", ["PROTOCOL_TLSv1", "PROTOCOL_TLSv1_1"])
def test_constants_for_old_versions_keep_their_meaning(authority: Authority, name: str) -> None:
    """Whether the system's OpenSSL still speaks them is another matter."""
    config = authority.config("old", ssl_version=getattr(ssl, name))
    context = config.get_context(server_side=True)
    expected = {"PROTOCOL_TLSv1": "TLSv1", "PROTOCOL_TLSv1_1": "TLSv1_1"}[name]
    assert context.minimum_version.name == context.maximum_version.name == expected


def test_settings_can_be_positional_as_in_1_6(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    for_server = (*authority.issue("server"), ssl.CERT_NONE, ssl.PROTOCOL_TLS, authority.ca_certs)
    for_client = (None, None, ssl.CERT_REQUIRED, ssl.PROTOCOL_TLS, authority.ca_certs)
    assert version_between(link, other, SSLConfig(*for_server), SSLConfig(*for_client))
    config = SSLConfig(*for_client)
    assert config.cert_reqs is ssl.CERT_REQUIRED
    assert config.ca_certs == authority.ca_certs


def test_contexts_of_ones_own(link: DiaryLink, other: DiaryLink, authority: Authority) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(*reversed(authority.issue("localhost")))
    client = ssl.create_default_context(cafile=authority.ca_certs)  # checks the host name
    _, port = link.add_listener(LOCALHOST, SSLConfig(context=server))
    other.add_connector(("localhost", int(port)), ssl_config=SSLConfig(context=client))
    run_until(lambda: link.open and other.open, link, other)


def test_context_for_the_wrong_side_is_refused_at_once(link: DiaryLink) -> None:
    server = SSLConfig(context=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    client = SSLConfig(context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    with pytest.raises(ValueError, match=r"connector cannot use .*PROTOCOL_TLS_SERVER"):
        link.add_connector(("localhost", 4000), ssl_config=server)
    with pytest.raises(ValueError, match=r"listener cannot use .*PROTOCOL_TLS_CLIENT"):
        link.add_listener(LOCALHOST, client)


def test_one_config_serves_many_connectors_and_listeners(
    link: DiaryLink, other: DiaryLink, authority: Authority
) -> None:
    config = authority.config("both")
    for _ in range(2):
        other.add_connector(link.add_listener(LOCALHOST, config), ssl_config=config)
        link.add_connector(other.add_listener(LOCALHOST, config), ssl_config=config)
    run_until(lambda: len(link.open) == len(other.open) == 4, link, other)


def complaint_about(config: SSLConfig, library: str | None = "SSL") -> str:
    with pytest.raises(ssl.SSLError) as caught:
        config.get_context(server_side=True)
    assert caught.value.library == library
    return str(caught.value)


def test_file_that_cannot_be_used_is_named_with_its_parameter(
    authority: Authority, stranger: Authority, tmp_path: Path
) -> None:
    keyfile, certfile = authority.issue("server")
    other_key, _ = stranger.issue("server")
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_bytes(
        load_pem_private_key(Path(keyfile).read_bytes(), None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
        )
    )
    assert (
        f"the key in keyfile '{other_key}' does not belong to the certificate in certfile "
        f"'{certfile}'" in complaint_about(SSLConfig(other_key, certfile), "X509")
    )
    swapped = complaint_about(SSLConfig(certfile, keyfile))
    assert f"certfile '{keyfile}' has no certificate" in swapped
    no_key = complaint_about(SSLConfig(certfile, certfile))
    assert f"keyfile '{certfile}' has no private key" in no_key
    assert "give a keyfile" in complaint_about(SSLConfig(certfile=certfile))
    no_authority = complaint_about(SSLConfig(keyfile, certfile, ca_certs=keyfile), "X509")
    assert f"ca_certs '{keyfile}' has no certificate" in no_authority
    secret = complaint_about(SSLConfig(str(encrypted), certfile))
    assert f"the key in keyfile '{encrypted}' is encrypted" in secret


MakeConfig = Callable[[Authority], SSLConfig]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (
            lambda a: SSLConfig(a.issue("x")[0], context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)),
            "not both",
        ),
        (
            lambda a: SSLConfig(
                context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), check_hostname=True
            ),
            "of the context itself",
        ),
        (
            lambda a: SSLConfig(
                context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl_version=ssl.PROTOCOL_TLS
            ),
            "of the context itself",
        ),
        (lambda a: SSLConfig(cert_reqs=ssl.CERT_REQUIRED), "ca_certs"),
        (lambda a: SSLConfig(cert_reqs=ssl.CERT_OPTIONAL), "ca_certs"),
        (lambda a: SSLConfig(check_hostname=True), "CERT_REQUIRED"),
        (lambda a: SSLConfig(cert_reqs=7, ca_certs=a.ca_certs), "7"),
        (lambda a: SSLConfig(ssl_version=99), "99"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(
    authority: Authority, make: MakeConfig, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        make(authority)


def test_files_that_cannot_be_read_raise_where_they_are_added(
    link: DiaryLink, authority: Authority
) -> None:
    keyfile, certfile = authority.issue("server")
    with pytest.raises(FileNotFoundError, match=r"certfile of SSLConfig: 'nowhere\.crt'"):
        link.add_listener(LOCALHOST, SSLConfig(keyfile, "nowhere.crt"))
    with pytest.raises(FileNotFoundError, match=r"keyfile of SSLConfig: 'nowhere\.key'") as caught:
        link.add_listener(LOCALHOST, SSLConfig("nowhere.key", certfile))
    assert caught.value.filename == "nowhere.key"
    with pytest.raises(FileNotFoundError, match=r"ca_certs of SSLConfig: 'nowhere\.crt'"):
        link.add_connector(("localhost", 4000), ssl_config=SSLConfig(ca_certs="nowhere.crt"))
    adds: tuple[Callable[[SSLConfig], object], ...] = (
        lambda config: link.add_listener(LOCALHOST, config),
        lambda config: link.add_connector(("localhost", 4000), ssl_config=config),
    )
    for add in adds:
        with pytest.raises(FileNotFoundError, match=r"keyfile of SSLConfig: 'nowhere\.key'"):
            add(SSLConfig("nowhere.key"))
        with pytest.raises(ValueError, match="without a certfile"):
            add(SSLConfig(keyfile))
    folder = SSLConfig(ca_certs=str(authority.folder))
    with pytest.raises(IsADirectoryError, match="ca_certs"):
        link.add_connector(("localhost", 4000), ssl_config=folder)
    with pytest.raises(ValueError, match="needs a certfile"):
        link.add_listener(LOCALHOST, SSLConfig(ca_certs=authority.ca_certs))
    link.add_connector(("localhost", 4000))  # nothing was left behind


def test_two_threads_that_use_a_config_first_get_the_same_context(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = authority.config("server")
    both = threading.Barrier(2, timeout=DEADLINE)
    make = config._make_context
    monkeypatch.setattr(config, "_make_context", lambda side: (both.wait(), make(side))[1])
    contexts: list[ssl.SSLContext] = []
    threads = [
        threading.Thread(target=lambda: contexts.append(config.get_context(server_side=True)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    assert contexts[0] is contexts[1]
