"""The authenticators of ours: what they believe, and that it is nothing else."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from snakemq.exceptions import NotProven
from snakemq.identity import (
    AnyOf,
    Authenticator,
    CertificateIdents,
    Fingerprints,
    Identity,
    PreSharedKeys,
    Proof,
    UnixUsers,
)
from snakemq.identity._address import address_of
from snakemq.link import CertificateCheck, PeerCredentials, UnixCredentials
from snakemq.messaging import MAX_IDENT_LENGTH

SPIFFE = "spiffe://corp.example/{ident}"
KEY = b"k" * 32

Names = dict[str, list[str]]


def certificate(
    *names: tuple[str, str],
    common_names: tuple[str, ...] = (),
    checked_against: CertificateCheck = CertificateCheck.CA_CERTS,
) -> PeerCredentials:
    fields: dict[str, Any] = {"subject": tuple((("commonName", name),) for name in common_names)}
    if names:
        fields["subjectAltName"] = names
    return PeerCredentials(
        address=("192.0.2.1", 40312),
        is_tls=True,
        checked_against=checked_against,
        certificate=repr(fields).encode(),
        certificate_fields=fields,
    )


def user(uid: int, address: str = "") -> PeerCredentials:
    return PeerCredentials(address=address, unix=UnixCredentials(pid=4711, uid=uid, gid=uid))


def key(key: bytes) -> PeerCredentials:
    return PeerCredentials(
        is_tls=True, psk_identity="bob", psk_key_digest=hashlib.sha256(key).digest()
    )


def refuses(authenticator: Authenticator, claimed: str, connection: PeerCredentials) -> str:
    """The reason for which a claim is refused."""
    with pytest.raises(NotProven) as caught:
        authenticator.check(claimed, connection)
    return str(caught.value)


NOTHING = [
    PeerCredentials(),
    PeerCredentials(address=("192.0.2.1", 40312)),
    PeerCredentials(is_tls=True),
    PeerCredentials(is_tls=True, checked_against=CertificateCheck.CA_CERTS),
]
"""Plain, or TLS without a certificate."""

ALL: list[Authenticator] = [
    CertificateIdents(SPIFFE, dns=True, common_name=True, trust_context=True),
    Fingerprints({"bob": ["0" * 64]}),
    AnyOf(CertificateIdents(dns=True), Fingerprints({"bob": ()})),
]
if sys.platform == "linux":
    ALL.append(UnixUsers({"bob": 1000}))
if getattr(ssl, "HAS_PSK", False):
    ALL.append(PreSharedKeys({"bob": KEY}))


@pytest.mark.parametrize("connection", NOTHING, ids=repr)
@pytest.mark.parametrize("authenticator", ALL, ids=lambda it: type(it).__name__)
def test_nothing_proves_nothing(authenticator: Authenticator, connection: PeerCredentials) -> None:
    for claimed in ("bob", "", "None"):
        refuses(authenticator, claimed, connection)


# -- certificates with names


def test_a_uri_with_the_ident_proves_it() -> None:
    connection = certificate(("URI", "spiffe://corp.example/bob"), common_names=("Bob",))
    assert CertificateIdents(SPIFFE).check("bob", connection) == Identity(
        "bob",
        "corp.example",
        Proof.CERTIFICATE,
        frozenset({"URI:spiffe://corp.example/bob", "CN:Bob"}),
        connection.fingerprint,
    )


def test_one_of_several_names_is_enough() -> None:
    connection = certificate(("DNS", "bob"), ("DNS", "carol"), ("IP Address", "192.0.2.1"))
    assert CertificateIdents(dns=True).check("carol", connection).domain == ""
    refuses(CertificateIdents(dns=True), "192.0.2.1", connection)


WRONG: list[tuple[str, PeerCredentials]] = [
    ("bob", certificate(("URI", "spiffe://corp.example/mallory"))),
    ("bob", certificate(("URI", "spiffe://corp.example/BOB"))),
    ("bob", certificate(("URI", "SPIFFE://corp.example/bob"))),
    ("bob", certificate(("URI", "spiffe://CORP.example/bob"))),
    ("bob", certificate(("URI", "spiffe://corp.example/bob/"))),
    ("bob", certificate(("URI", "spiffe://corp.example/bob/x"))),
    ("bob", certificate(("URI", "spiffe://corp.example/*"))),
    ("bob", certificate(("URI", "spiffe://corp.example/%62ob"))),
    ("bob", certificate(("URI", "spiffe://corp.example.evil.example/bob"))),
    ("bob", certificate(("URI", "spiffe://corp.example/bob\0"))),
    ("bob", certificate(("URI", "spiffe://corp.example/{ident}"))),
    ("bob", certificate(("email", "spiffe://corp.example/bob"))),
    ("bob", certificate(("DNS", "mallory"))),
    ("bob", certificate(("DNS", "*"))),
    ("bob", certificate(("DNS", "BOB"))),
    ("bob", certificate(("DNS", "bob."))),
    ("bob", certificate(("DNS", "bob.example"))),
    ("a.bob", certificate(("DNS", "*.bob"))),
    ("bob", certificate(common_names=("mallory",))),
    ("bob", certificate(common_names=("bob", "mallory"))),
    ("bob", certificate(common_names=("bob", "bob"))),
    ("bob", certificate(common_names=("*",))),
    ("bob", certificate()),
    # A kind that is preferred is there, and has another name.
    ("bob", certificate(("URI", "spiffe://corp.example/mallory"), ("DNS", "bob"))),
    ("bob", certificate(("URI", "https://mallory.example"), common_names=("bob",))),
    ("bob", certificate(("DNS", "mallory"), common_names=("bob",))),
    ("ﬁnn", certificate(("DNS", "finn"))),
    ("e\u0301ric", certificate(("DNS", "\u00e9ric"))),
]


@pytest.mark.parametrize(("claimed", "connection"), WRONG)
def test_another_name_proves_nothing(claimed: str, connection: PeerCredentials) -> None:
    refuses(CertificateIdents(SPIFFE, dns=True, common_name=True), claimed, connection)


@pytest.mark.parametrize(
    ("authenticator", "connection"),
    [
        (CertificateIdents(SPIFFE), certificate(("DNS", "bob"), common_names=("bob",))),
        (CertificateIdents(dns=True), certificate(("URI", "bob"), common_names=("bob",))),
        (CertificateIdents(common_name=True), certificate(("DNS", "bob"), common_names=("bob",))),
    ],
)
def test_only_the_kinds_that_were_asked_for_count(
    authenticator: CertificateIdents, connection: PeerCredentials
) -> None:
    assert "no name of a kind that counts" in refuses(authenticator, "bob", connection)


def test_a_common_name_counts_if_it_is_asked_for_and_stands_alone() -> None:
    connection = certificate(("IP Address", "192.0.2.1"), common_names=("bob",))
    assert CertificateIdents(common_name=True).check("bob", connection).proven is Proof.CERTIFICATE


@pytest.mark.parametrize("check", [CertificateCheck.NONE, CertificateCheck.CONTEXT])
def test_a_certificate_must_be_checked_against_an_authority_of_ones_own(
    check: CertificateCheck,
) -> None:
    connection = certificate(("DNS", "bob"), checked_against=check)
    assert "an authority of our own" in refuses(CertificateIdents(dns=True), "bob", connection)
    trusting = CertificateIdents(dns=True, trust_context=True)
    if check is CertificateCheck.CONTEXT:
        assert trusting.check("bob", connection).ident == "bob"
    else:
        refuses(trusting, "bob", connection)


def test_what_a_uri_cannot_have_is_percent_encoded() -> None:
    names = CertificateIdents(SPIFFE)
    for ident, encoded in [("a/b", "a%2Fb"), ("Žofie 1", "%C5%BDofie%201"), ("%62ob", "%2562ob")]:
        connection = certificate(("URI", f"spiffe://corp.example/{encoded}"))
        assert names.check(ident, connection).ident == ident
        refuses(names, "bob", connection)


IDENTS = st.text(max_size=MAX_IDENT_LENGTH).filter(lambda it: it.isprintable())


@given(IDENTS, IDENTS)
def test_two_idents_never_have_one_uri(one: str, other: str) -> None:
    from urllib.parse import quote

    connection = certificate(("URI", SPIFFE.replace("{ident}", quote(one, safe=""))))
    assert CertificateIdents(SPIFFE).check(one, connection).ident == one
    if other != one:
        refuses(CertificateIdents(SPIFFE), other, connection)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "{ident}",
        "spiffe://corp.example/",
        "spiffe://corp.example/bob",
        "spiffe://{ident}",
        "spiffe:///{ident}",
        "{ident}://corp.example",
        "spiffe://corp.example/{ident}/{ident}",
        "spiffe://corp.example/{domain}/{ident}",
    ],
)
def test_a_template_that_says_nothing_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="uri must"):
        CertificateIdents(uri)


def test_without_any_kind_of_name_it_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="which names count"):
        CertificateIdents()


# -- fingerprints


def issued(folder: Path, name: str) -> tuple[Path, str]:
    """A file with a certificate, and its fingerprint."""
    authority = trustme.CA()
    blob = authority.issue_cert(name).cert_chain_pems[0]
    blob.write_to_path(folder / f"{name}.crt")
    der = ssl.PEM_cert_to_DER_cert(blob.bytes().decode())
    return folder / f"{name}.crt", hashlib.sha256(der).hexdigest()


def shown(path: Path, check: CertificateCheck = CertificateCheck.NONE) -> PeerCredentials:
    der = ssl.PEM_cert_to_DER_cert(path.read_text())
    return PeerCredentials(is_tls=True, checked_against=check, certificate=der)


def test_a_known_fingerprint_proves_an_ident_and_no_other(tmp_path: Path) -> None:
    path, fingerprint = issued(tmp_path, "bob")
    pins = Fingerprints({"bob": {"1" * 64, fingerprint}, "carol": {"2" * 64}})
    identity = pins.check("bob", shown(path))
    assert identity == Identity(
        "bob",
        proven=Proof.FINGERPRINT,
        names=frozenset({f"sha256:{fingerprint}"}),
        fingerprint=fingerprint,
    )
    for claimed in ("carol", "dan", "BOB", ""):
        refuses(pins, claimed, shown(path))


@pytest.mark.parametrize(
    "spelt",
    [
        lambda it: it.upper(),
        lambda it: f"sha256:{it}",
        lambda it: f"SHA256:{it}",
        lambda it: ":".join(it[i : i + 2] for i in range(0, 64, 2)).upper(),
        lambda it: "sha256 Fingerprint=" + ":".join(it[i : i + 2] for i in range(0, 64, 2)) + "\n",
    ],
)
def test_a_fingerprint_may_be_spelt_as_tools_do(
    tmp_path: Path, spelt: Callable[[str], str]
) -> None:
    path, fingerprint = issued(tmp_path, "bob")
    assert Fingerprints({"bob": [spelt(fingerprint)]}).check("bob", shown(path)).is_proven


@pytest.mark.parametrize("wrong", ["", "0" * 63, "0" * 65, "g" * 64, "0" * 40, "*", "٣" * 64])
def test_something_else_is_not_a_fingerprint(wrong: str) -> None:
    with pytest.raises(ValueError, match="SHA-256"):
        Fingerprints({"bob": [wrong]})


def test_a_string_is_not_a_set_of_fingerprints() -> None:
    with pytest.raises(TypeError, match="set of fingerprints"):
        Fingerprints({"bob": "0" * 64})
    with pytest.raises(TypeError, match="list of files"):
        Fingerprints.of_files({"bob": "bob.crt"})


def test_fingerprints_of_files_come_with_a_bundle(tmp_path: Path) -> None:
    bob, of_bob = issued(tmp_path, "bob")
    carol, _ = issued(tmp_path, "carol")
    both = tmp_path / "both.pem"
    both.write_text(f"some text\n{carol.read_text()}\n{bob.read_text()}")
    pins = Fingerprints.of_files({"bob": [bob], "carol": [both]})
    assert pins.check("bob", shown(bob)).fingerprint == of_bob
    assert pins.check("carol", shown(carol)).is_proven
    bundle = tmp_path / "pinned.pem"
    bundle.write_text("an old one")
    assert pins.write_bundle(bundle) == str(bundle)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_verify_locations(bundle)
    assert context.cert_store_stats()["x509"] == 2
    assert sorted(os.listdir(tmp_path)) == ["bob.crt", "both.pem", "carol.crt", "pinned.pem"]


def test_a_bundle_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    bob, _ = issued(tmp_path, "bob")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        Fingerprints.of_files({"bob": [bob]}).write_bundle(tmp_path / "folder")
    assert sorted(os.listdir(tmp_path)) == ["bob.crt", "folder"]


def test_a_private_key_never_gets_into_a_bundle(tmp_path: Path) -> None:
    blob = trustme.CA().issue_cert("bob").private_key_and_cert_chain_pem.bytes()
    (tmp_path / "bob.pem").write_bytes(blob)
    bundle = Fingerprints.of_files({"bob": [tmp_path / "bob.pem"]}).write_bundle(tmp_path / "pins")
    assert "PRIVATE" not in Path(bundle).read_text()


def test_a_file_without_a_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "cut").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n")
    for name in ("empty", "cut"):
        with pytest.raises(ValueError, match="certificate"):
            Fingerprints.of_files({"bob": [tmp_path / name]})
    with pytest.raises(FileNotFoundError):
        Fingerprints.of_files({"bob": [tmp_path / "missing"]})


def test_without_certificates_there_is_no_bundle(tmp_path: Path) -> None:
    for pins in (Fingerprints({"bob": ["0" * 64]}), Fingerprints.of_files({})):
        with pytest.raises(ValueError, match="of_files"):
            pins.write_bundle(tmp_path / "pins")


# -- users of a Unix system

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the user")


@linux
def test_the_user_of_the_process_proves_its_ident() -> None:
    users = UnixUsers({"bob": 1000, "carol": 1001, "root": 0})
    assert users.check("bob", user(1000)) == Identity(
        "bob", proven=Proof.UNIX_USER, names=frozenset({"uid:1000"})
    )
    for claimed, uid in [("bob", 1001), ("bob", 0), ("dan", 1000), ("BOB", 1000), ("root", 1000)]:
        refuses(users, claimed, user(uid))


@linux
@pytest.mark.parametrize("uid", [-1, 65534])
def test_a_number_that_stands_for_many_users_proves_nothing(uid: int) -> None:
    with pytest.raises(ValueError, match="proves nothing"):
        UnixUsers({"bob": uid})


@linux
@pytest.mark.parametrize("uid", ["1000", None, True, 1000.0])
def test_a_user_is_a_number(uid: Any) -> None:
    with pytest.raises(TypeError, match="must be a number"):
        UnixUsers({"bob": uid})


def test_other_systems_do_not_tell_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ValueError, match="only Linux"):
        UnixUsers({"bob": 1000})


# -- pre-shared keys

with_psk = pytest.mark.skipif(not getattr(ssl, "HAS_PSK", False), reason="needs Python 3.13")


@with_psk
def test_the_key_proves_the_ident_it_is_for() -> None:
    keys = PreSharedKeys({"bob": KEY, "carol": b"c" * 32})
    assert keys.check("bob", key(KEY)) == Identity(
        "bob", proven=Proof.PRE_SHARED_KEY, names=frozenset({"psk:bob"})
    )
    for claimed in ("carol", "dan", "BOB"):
        refuses(keys, claimed, key(KEY))


@with_psk
def test_a_key_for_two_idents_proves_neither() -> None:
    with pytest.raises(ValueError, match="the same key"):
        PreSharedKeys({"bob": KEY, "carol": bytes(KEY)})


@with_psk
@pytest.mark.parametrize("wrong", ["secret", None, bytearray(KEY)])
def test_a_key_is_made_of_bytes(wrong: Any) -> None:
    with pytest.raises(TypeError, match="must be bytes") as caught:
        PreSharedKeys({"bob": wrong})
    assert "secret" not in str(caught.value)


@with_psk
def test_keys_are_not_shown() -> None:
    assert "kkkk" not in repr(PreSharedKeys({"bob": KEY}))


def test_without_support_in_python_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssl, "HAS_PSK", False, raising=False)
    with pytest.raises(ValueError, match=r"Python 3\.13"):
        PreSharedKeys({"bob": KEY})


# -- several


def test_any_of_them_is_enough() -> None:
    both = AnyOf(CertificateIdents(dns=True), CertificateIdents(SPIFFE))
    for name in [("DNS", "bob"), ("URI", "spiffe://corp.example/bob")]:
        assert both.check("bob", certificate(name)).ident == "bob"
    reason = refuses(both, "bob", certificate(("DNS", "mallory")))
    assert reason == (
        "its certificate has another name; its certificate has no name of a kind that counts"
    )


def test_a_fault_of_one_of_them_admits_nobody() -> None:
    class Broken:
        def check(self, claimed: str, connection: PeerCredentials) -> Identity:
            raise KeyError(claimed)

    with pytest.raises(KeyError):
        AnyOf(Broken(), CertificateIdents(dns=True)).check("bob", certificate(("DNS", "bob")))


def test_any_of_nothing_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="needs an authenticator"):
        AnyOf()
    with pytest.raises(TypeError, match="must be an object with"):
        AnyOf("bob")  # type: ignore[arg-type]


# -- addresses


@pytest.mark.parametrize(
    ("connection", "address"),
    [
        (PeerCredentials(), ""),
        (PeerCredentials(address=("192.0.2.1", 40312)), "192.0.2.1:40312"),
        (PeerCredentials(address=("2001:db8::1", 40312, 0, 0)), "[2001:db8::1]:40312"),
        (PeerCredentials(address=""), "unix"),
        (PeerCredentials(address=b"\0name"), r"unix:\x00name"),
        (PeerCredentials(address="/run/a\nb"), r"unix:/run/a\nb"),
        (user(1000), "unix, user 1000"),
        (user(1000, "/run/bob"), "unix:/run/bob, user 1000"),
        (PeerCredentials(address=4711), ""),
    ],
)
def test_an_address_is_readable(connection: PeerCredentials, address: str) -> None:
    assert address_of(connection) == address


def test_the_system_knows_the_credentials_that_this_needs() -> None:
    assert hasattr(socket, "SO_PEERCRED") == (sys.platform == "linux")
