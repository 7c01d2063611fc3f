"""Where speed needs a rule twice, the copy says what the rule says."""

from __future__ import annotations

import pickle
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from snakemq.rpc import SafePickler
from snakemq.rpc._pickling import _pickler
from snakemq.rpc._pickling._limits import max_memory


@given(length=st.integers(0, 5000), factor=st.integers(0, 1000))
def test_the_memory_that_loads_grants_is_max_memory(length: int, factor: int) -> None:
    granted: list[int] = []

    def note(data: bytes, limit: int) -> bool:
        granted.append(limit)
        return True

    data = pickle.dumps(bytes(length))
    with mock.patch.object(_pickler, "is_plain", note):
        SafePickler(memory_factor=factor).loads(data)
    assert granted == [max_memory(len(data), factor)]
