"""Scripts from examples/, in a folder of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import Scripts, scripts

from .endings import EXAMPLES


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Scripts]:
    with scripts(EXAMPLES, tmp_path) as started:
        yield started
