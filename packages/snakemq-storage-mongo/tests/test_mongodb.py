"""The storage, as far as that needs no server."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import snakemq.storage.mongodb
from snakemq.exceptions import StorageError
from snakemq.queues import InboxStorage, QueuesStorageBase
from snakemq.storage.mongodb import MongoDbQueuesStorage
from snakemq.storage.mongodb._lease import _identity, _is_dead


def test_public_names() -> None:
    assert snakemq.storage.mongodb.__all__ == ["MongoDbQueuesStorage"]
    assert MongoDbQueuesStorage.__module__ == "snakemq.storage.mongodb"
    assert issubclass(MongoDbQueuesStorage, QueuesStorageBase)
    assert issubclass(MongoDbQueuesStorage, InboxStorage)


def test_a_missing_server_is_a_temporary_failure() -> None:
    with pytest.raises(StorageError) as caught:
        MongoDbQueuesStorage("127.0.0.1", 1, serverSelectionTimeoutMS=100)
    assert caught.value.temporary


@pytest.mark.skipif(sys.platform != "linux", reason="processes can be told apart on Linux only")
def test_only_an_ended_process_of_this_machine_counts_as_dead() -> None:
    here = _identity(os.getpid())
    assert here is not None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        child = _identity(process.pid)
        assert child is not None
        assert not _is_dead(child)
        process.kill()
        process.wait()
    assert _is_dead(child)
    assert not _is_dead(here)
    assert _is_dead([*here[:3], "its id was given to another process"])
    for elsewhere in (["another machine", *child[1:]], [child[0], "another container", *child[2:]]):
        assert not _is_dead(elsewhere)
    for unknown in (None, "", [], [1, 2], [*child[:2], None, ""], [*child[:2], -1, ""]):
        assert not _is_dead(unknown)
