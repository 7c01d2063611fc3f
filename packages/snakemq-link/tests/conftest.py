"""Links that are cleaned up after each test, and certificates for their TLS."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from certificates import Authority
from hypothesis import settings
from memory_packeters import Pair
from real_links import DiaryLink
from resolver import Resolver

from snakemq.link.testing import MemoryNetwork

# No deadline: machines that run tests are busy. Derandomized: a failure belongs to the change.
settings.register_profile("link", deadline=None, derandomize=True, max_examples=100)
settings.load_profile("link")


@pytest.fixture
def new_link() -> Iterator[Callable[..., DiaryLink]]:
    """Makes links, with the options of :class:`~snakemq.link.Link`; each ends with the test."""
    links: list[DiaryLink] = []

    def new_link(**options: object) -> DiaryLink:
        links.append(DiaryLink(**options))
        return links[-1]

    yield new_link
    for link in links:
        link.cleanup()


@pytest.fixture
def link(new_link: Callable[..., DiaryLink]) -> DiaryLink:
    return new_link()


@pytest.fixture
def other(new_link: Callable[..., DiaryLink]) -> DiaryLink:
    return new_link()


@pytest.fixture
def network() -> MemoryNetwork:
    return MemoryNetwork()


@pytest.fixture
def pair(network: MemoryNetwork) -> Pair:
    """Two packeters that are connected in memory."""
    return Pair(network)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Resolver:
    resolver = Resolver()
    monkeypatch.setattr("snakemq.link._dialling._lookup.resolve", resolver)
    return resolver


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs the certificates of peers that trust each other."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Another authority, which nobody else trusts."""
    return Authority(tmp_path_factory.mktemp("stranger"))
