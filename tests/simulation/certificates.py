"""What TLS would say about peers, and about those that claim to be them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from snakemq.identity import CertificateIdents
from snakemq.link import CertificateCheck, PeerCredentials

AUTHENTICATOR = CertificateIdents("spiffe://simulation.example/{ident}")


def certificate_of(ident: str) -> PeerCredentials:
    """The certificate of an honest peer."""
    return _certificate(f"spiffe://simulation.example/{ident}")


def _certificate(
    *uris: str, check: CertificateCheck = CertificateCheck.CA_CERTS
) -> PeerCredentials:
    names = tuple(("URI", uri) for uri in uris)
    return PeerCredentials(
        is_tls=True,
        checked_against=check,
        certificate=repr(names).encode(),
        certificate_fields={"subjectAltName": names} if names else {},
    )


_LIES: tuple[Callable[[str], PeerCredentials], ...] = (
    lambda claimed: PeerCredentials(),
    lambda claimed: PeerCredentials(is_tls=True, checked_against=CertificateCheck.CA_CERTS),
    lambda claimed: certificate_of("liar"),
    lambda claimed: certificate_of(claimed.upper()),
    lambda claimed: certificate_of("*"),
    lambda claimed: _certificate(),
    lambda claimed: _certificate(
        f"spiffe://simulation.example/{claimed}", check=CertificateCheck.CONTEXT
    ),
)


def draw_lie(random: Random, claimed: str) -> PeerCredentials:
    """What a liar shows: a right certificate of another name, one that nobody has checked, none."""
    return random.choice(_LIES)(claimed)
