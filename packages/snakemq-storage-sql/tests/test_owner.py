"""One owner of a file at a time: processes, crashes, forks."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.storage.sqlite import SqliteQueuesStorage

OWNER = """
import sys
from snakemq.message import Message
from snakemq.storage.sqlite import SqliteQueuesStorage
storage = SqliteQueuesStorage(sys.argv[1])
storage.push("peer", Message(b"from the child", None))
print("open", flush=True)
sys.stdin.readline()
storage.close()
print("closed", flush=True)
"""


def stored(path: Path) -> list[bytes]:
    with closing(SqliteQueuesStorage(path, busy_timeout=0)) as storage:
        return [item.data for item in storage.get_items("peer")]


def test_a_second_process_is_told_that_the_file_is_in_use(path: Path, start_child: Any) -> None:
    with start_child(OWNER, path) as process:
        assert process.stdout.readline() == "open\n"
        with pytest.raises(StorageError, match=r"queues\.db.*in use by another") as caught:
            SqliteQueuesStorage(path, busy_timeout=0)
        assert caught.value.temporary
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "closed\n"
        assert stored(path) == [b"from the child"]


def test_a_second_process_waits_for_the_first_to_let_go(path: Path, start_child: Any) -> None:
    with start_child(OWNER, path) as process:
        assert process.stdout.readline() == "open\n"
        process.stdin.write("\n")
        process.stdin.flush()
        with closing(SqliteQueuesStorage(path, busy_timeout=60)) as storage:
            assert len(storage.get_items("peer")) == 1


def test_a_killed_owner_blocks_nobody(path: Path, start_child: Any) -> None:
    for n in range(1, 4):
        with start_child(OWNER, path) as process:
            assert process.stdout.readline() == "open\n"
            process.kill()
            process.wait()
            assert stored(path) == [b"from the child"] * n


def test_a_second_storage_in_the_same_process_is_refused(path: Path) -> None:
    with closing(SqliteQueuesStorage(path)) as storage:
        for _ in range(2):  # the refused storage does not release the lock of the first one
            with pytest.raises(StorageError, match="in use") as caught:
                SqliteQueuesStorage(path, busy_timeout=0)
            assert caught.value.temporary
        storage.push("peer", Message(b"1", None))
    assert stored(path) == [b"1"]


def test_a_failed_opening_leaves_no_lock(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StorageError):
        SqliteQueuesStorage(path)
    path.unlink()
    assert stored(path) == []


# Each of these once lost almost all of the parent's messages: closing the child's copy of the
# connection deleted the log that the parent went on writing to.
LEAVING = {
    "sys.exit": "raise SystemExit(0)",
    "close": "storage.close(); raise SystemExit(0)",
    "del": "del storage; gc.collect(); raise SystemExit(0)",
    "use": """
try:
    storage.push("peer", Message(b"from the fork", None))
except StorageError as error:
    assert "fork" in str(error)
    raise SystemExit(0)
os._exit(1)
""",
}

FORK = """
import gc, os, signal, sys
from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.storage.sqlite import SqliteQueuesStorage
storage = SqliteQueuesStorage(sys.argv[1])
storage.push("peer", Message(b"before", None))
pid = os.fork()
if pid == 0:
    exec(sys.argv[2])
assert os.waitpid(pid, 0)[1] == 0
for n in range(100):
    storage.push("peer", Message(b"after", None))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("leaving", LEAVING.values(), ids=LEAVING.keys())
def test_a_forked_child_does_no_harm(
    path: Path, run_child: Callable[..., str], leaving: str
) -> None:
    run_child(FORK, path, leaving, returncode=-signal.SIGKILL)
    assert stored(path) == [b"before"] + [b"after"] * 100
