"""The fixture that pytest finds by the entry point of this package.

Nothing else is imported before a test asks for it. PYTEST_DONT_REWRITE: there are no asserts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from snakemq.testing import PeerNetwork


@pytest.fixture
def snakemq_network() -> Iterator[PeerNetwork]:
    """A network in memory with a clock of its own: see snakemq.testing.PeerNetwork."""
    from snakemq.testing import PeerNetwork

    with PeerNetwork() as network:
        yield network
