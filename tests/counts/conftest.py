"""Links that are cleaned up after each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from snakemq.link import Link


@pytest.fixture
def new_link() -> Iterator[Callable[[], Link]]:
    links: list[Link] = []

    def new_link(kind: type[Link] = Link) -> Link:
        links.append(kind())
        return links[-1]

    yield new_link
    for link in links:
        link.cleanup()
