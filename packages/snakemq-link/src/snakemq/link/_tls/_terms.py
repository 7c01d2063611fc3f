"""What a configuration says about one handshake."""

import ssl
from typing import NamedTuple

from .._credentials import CertificateCheck


class Terms(NamedTuple):
    """How the next handshake of a connector or a listener is done."""

    context: ssl.SSLContext
    checked_against: CertificateCheck
    """What the certificate of the peer is checked against."""
    by_key: bool
    """True if both sides prove that they know a pre-shared key."""
    may_resume: bool
    """False if each handshake must look at the certificate again."""
