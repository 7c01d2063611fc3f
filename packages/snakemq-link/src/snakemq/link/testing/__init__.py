"""Links without sockets, for tests: deterministic, fast, and as cruel as you like.

    network = MemoryNetwork(seed=1)
    a, b = network.link("a"), network.link("b")
    network.connect(a, b)
    ...                     # build the same stacks on a and b as on a Link
    network.run_until(lambda: done)

:class:`MemoryLink` is a :class:`~snakemq.link.LinkInterface`, so everything that runs over a
:class:`~snakemq.link.Link` runs over it: byte by byte, cut anywhere, with delays, partitions and
peers that die, without a sleep, and the same again with the same seed.

:func:`check_link` is for authors of links: it checks all that the layers above rely on.
"""

from snakemq._public_home import report_public_home

from ._clock import FakeClock
from ._conformance import LINK_CHECKS, check_link
from ._cut import Cut, byte_by_byte, pieces_of, random_pieces, whole
from ._link_pair import LinkCheck, LinkPair
from ._memory_connector import MemoryConnector
from ._memory_link import MemoryLink
from ._network import MemoryNetwork
from ._pipe import Latency
from ._world import TraceEvent

__all__ = [
    "LINK_CHECKS",
    "Cut",
    "FakeClock",
    "Latency",
    "LinkCheck",
    "LinkPair",
    "MemoryConnector",
    "MemoryLink",
    "MemoryNetwork",
    "TraceEvent",
    "byte_by_byte",
    "check_link",
    "pieces_of",
    "random_pieces",
    "whole",
]

report_public_home(__name__)
