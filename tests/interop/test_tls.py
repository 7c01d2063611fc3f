"""TLS with 1.6, both sides with certificates that the other one checks."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import pytest
import trustme

from snakemq.exceptions import NotProven
from snakemq.identity import CertificateIdents
from snakemq.link import SSLConfig
from tests.support.certificates import Authority
from tests.support.running_stack import Stack

from .conftest import OURS, THEIRS, MakeGenuine, MakeStack
from .genuine import digest, random_bytes

Files = dict[str, str]


def issue(ca: trustme.CA, folder: Path, name: str) -> Files:
    cert = ca.issue_cert("localhost", "127.0.0.1", common_name=name)
    files = {part: str(folder / f"{name}.{part}") for part in ("key", "cert", "ca")}
    cert.private_key_pem.write_to_path(files["key"])
    cert.cert_chain_pems[0].write_to_path(files["cert"])
    ca.cert_pem.write_to_path(files["ca"])
    return files


def config(files: Files) -> SSLConfig:
    return SSLConfig(files["key"], files["cert"], ca_certs=files["ca"], cert_reqs=ssl.CERT_REQUIRED)


@pytest.mark.parametrize("we_dial", [True, False], ids=["we-dial", "we-listen"])
def test_messages_through_mutual_tls(
    make_stack: MakeStack, make_genuine: MakeGenuine, tmp_path: Path, we_dial: bool
) -> None:
    ca = trustme.CA()
    our_files, their_files = issue(ca, tmp_path, "ours"), issue(ca, tmp_path, "theirs")
    ours, theirs = make_stack(), make_genuine()
    certificates: list[object] = []
    ours.link.on_connect.add(
        lambda conn_id: ours.write(
            certificates, ours.link.get_socket_by_conn(conn_id).getpeercert()
        )
    )
    if we_dial:
        ours.dial(theirs.listen(tls=their_files), config(our_files))
    else:
        theirs.dial(ours.listen(ssl_config=config(our_files)), their_files)
    ours.until_connected(THEIRS)
    assert "theirs" in str(certificates)

    sizes = [1, 16_384, 300_000, 1024 * 1024] * 3
    for seed, size in enumerate(sizes):
        ours.send(THEIRS, random_bytes(seed, size))
    theirs.do("send", ident=OURS, sizes=sizes)
    ours.until(lambda: len(ours.received) == len(sizes))
    theirs.event("received", count=len(sizes))
    expected = [digest(random_bytes(seed, size)) for seed, size in enumerate(sizes)]
    assert [digest(received.data) for received in ours.received] == expected
    assert [event["digest"] for event in theirs.all("received")] == expected
    theirs.assert_undisturbed()
    assert not ours.problems


@pytest.mark.parametrize("we_dial", [True, False], ids=["we-dial", "we-listen"])
@pytest.mark.parametrize("name", [THEIRS, "mallory"])
def test_a_1_6_peer_proves_its_ident_by_its_certificate(
    make_stack: MakeStack, make_genuine: MakeGenuine, tmp_path: Path, we_dial: bool, name: str
) -> None:
    """If we dial, we say who we are only when it has: it does not wait for that."""
    authority = Authority(tmp_path)
    our_files, their_files = (
        authority.issue(uris=[f"spiffe://corp.example/{of}"]) for of in (OURS, name)
    )
    their_part = {"key": their_files.key, "cert": their_files.certificate, "ca": authority.root}
    ours, theirs = make_stack(), make_genuine()
    ours.messaging.authenticator = CertificateIdents("spiffe://corp.example/{ident}")
    ours.send(THEIRS, b"for 1.6")
    our_part = SSLConfig(*our_files, ca_certs=authority.root)
    if we_dial:
        address = theirs.listen(tls=their_part)
        ours.in_loop(lambda: ours.link.add_connector(address, 0.2, our_part, ident=THEIRS))
    else:
        theirs.dial(ours.listen(ssl_config=our_part), their_part)
    if name == THEIRS:
        theirs.event("received", count=1)
        theirs.do("send", ident=OURS, sizes=[10])
        ours.until(lambda: len(ours.received) == 1)
        assert not ours.problems
    else:
        assert "another name" in str(ours.problem(NotProven).error)
        assert ours.connected == []
        assert theirs.all("received") == []
    theirs.assert_undisturbed()


class Refusals(logging.Handler):
    """Handshakes that failed, as the link logs them."""

    def __init__(self, stack: Stack) -> None:
        super().__init__(logging.WARNING)
        self._stack = stack
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._stack.write(self.texts, record.getMessage())


def test_a_1_6_peer_with_a_foreign_certificate_does_not_get_in(
    make_stack: MakeStack, make_genuine: MakeGenuine, tmp_path: Path
) -> None:
    ca = trustme.CA()
    ours, theirs = make_stack(), make_genuine()
    refusals = Refusals(ours)
    ours.link.log.addHandler(refusals)
    address = ours.listen(ssl_config=config(issue(ca, tmp_path, "ours")))
    stranger = issue(trustme.CA(), tmp_path, "stranger")
    ca.cert_pem.write_to_path(stranger["ca"])  # it trusts us, we do not trust it
    theirs.dial(address, stranger)
    ours.until(lambda: refusals.texts)
    ours.link.log.removeHandler(refusals)
    assert "CERTIFICATE_VERIFY_FAILED" in refusals.texts[0]

    make_stack("friend").dial(address, config(issue(ca, tmp_path, "friend")))
    ours.until_connected("friend")
    assert ours.connected == ["friend"]
