"""Peers without sockets and without waiting, for the tests of what is built on them.

    def test_that_bob_answers(snakemq_network):
        alice, bob = snakemq_network.peer("alice"), snakemq_network.peer("bob")
        snakemq_network.connect("alice", "bob")
        ...

:class:`PeerNetwork` makes them. With pytest, the fixture ``snakemq_network`` is one.
"""

from snakemq._public_home import report_public_home

from ._peer_network import PeerNetwork

__all__ = ["PeerNetwork"]

report_public_home(__name__)
