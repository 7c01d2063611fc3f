"""Identities of peers: what proves them, before anything is sent to a peer or taken from it."""

from snakemq._public_home import report_public_home

from ._authenticator import AnyOf, Authenticator
from ._certificates import CertificateIdents
from ._fingerprints import Fingerprints
from ._identity import Identity, Proof
from ._pre_shared_keys import PreSharedKeys
from ._unix_users import UnixUsers

__all__ = [
    "AnyOf",
    "Authenticator",
    "CertificateIdents",
    "Fingerprints",
    "Identity",
    "PreSharedKeys",
    "Proof",
    "UnixUsers",
]

report_public_home(__name__)
