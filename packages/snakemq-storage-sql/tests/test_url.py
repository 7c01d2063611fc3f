"""open_storage finds the storages of this package."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.queues import open_storage
from snakemq.storage.sqla import SqlAlchemyQueuesStorage
from snakemq.storage.sqlite import SqliteQueuesStorage
from tests.servers import MariaDb, PostgreSql
from tests.servers.fixtures import started


def test_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(open_storage("sqlite:///queue %41.db", busy_timeout=0)) as storage:
        assert type(storage) is SqliteQueuesStorage
        storage.push("peer", Message(b"1", None))
    with closing(open_storage(f"sqlite:///{tmp_path}/queue %41.db")) as storage:
        assert storage.count("peer") == 1
    with closing(open_storage("sqlite://")) as storage:
        assert storage.get_queues() == []
    for url in ("sqlite:queue.db", "sqlite://queue.db", "sqlite:///queue.db?timeout=5"):
        with pytest.raises(ValueError, match="sqlite:"):
            open_storage(url)
    assert [path.name for path in tmp_path.iterdir()] == ["queue %41.db"]


@pytest.mark.server
@pytest.mark.parametrize("kind", [PostgreSql, MariaDb], ids=lambda kind: kind.name)
def test_a_server_with_the_driver_in_the_url_and_without(kind: type) -> None:
    with started(kind) as server:
        scheme, _, rest = server.url.partition("://")
        for url in (server.url, f"{scheme.partition('+')[0]}://{rest}"):
            with closing(open_storage(url, table_prefix="x_")) as storage:
                assert type(storage) is SqlAlchemyQueuesStorage
                storage.push("peer", Message(b"1", None))
    with pytest.raises(StorageError) as caught:
        open_storage(url)
    assert caught.value.temporary


def test_a_missing_driver_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'snakemq\[mysql\]'"):
        open_storage("mysql+mysqlconnector://127.0.0.1:1/x")
