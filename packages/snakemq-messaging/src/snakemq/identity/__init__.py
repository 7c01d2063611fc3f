"""Identities of peers, and what proves them."""

from snakemq._public_home import report_public_home

from ._identity import Identity, Proof

__all__ = ["Identity", "Proof"]

report_public_home(__name__)
