"""What migrating-from-1.6.md says to be gone is gone, and what it says to stay stays."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest

import snakemq
from snakemq.link import Link
from snakemq.messaging import PROTOCOL_VERSION, Messaging, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.rpc import RpcClient, RpcServer
from snakemq.storage.sqlite import SqliteQueuesStorage

from .pages import DOCS, ROOT
from .tables import rows

PAGE = (DOCS / "migrating-from-1.6.md").read_text()


def owners() -> dict[str, object]:
    """Everything whose names the table lists; objects, because attributes count as well."""
    link = Link()
    messaging = Messaging("me", "", Packeter(link))
    hook = ReceiveHook(messaging)
    objects: dict[str, object] = {
        "snakemq.link.Link": link,
        "snakemq.messaging.Messaging": messaging,
        "snakemq.rpc.RpcServer": RpcServer(hook),
        "snakemq.rpc.RpcClient": RpcClient(hook),
        "snakemq.storage.sqlite.SqliteQueuesStorage": SqliteQueuesStorage(":memory:"),
        "snakemq.link.LinkSocket": importlib.import_module("snakemq.link").LinkSocket,
    }
    for name in ("link", "packeter", "throttle", "messaging", "queues", "rpc", "storage.sqla"):
        objects[f"snakemq.{name}"] = importlib.import_module(f"snakemq.{name}")
    return objects


def gone_names() -> dict[str, list[str]]:
    """What the page says is gone: names by owner."""
    return {owner.strip("`"): re.findall(r"`([\w.]+)`", names) for owner, names in rows(PAGE, "of")}


def module_names_of_1_6() -> dict[str, list[str]]:
    lines = (Path(__file__).parent / "module_names_of_1.6.txt").read_text().splitlines()
    pairs = (line.split(":") for line in lines if not line.startswith("#"))
    return {module: names.split() for module, names in pairs}


@pytest.mark.parametrize(("module", "names"), module_names_of_1_6().items())
def test_a_name_of_1_6_can_be_imported_or_the_page_says_that_it_is_gone(
    module: str, names: list[str]
) -> None:
    gone = gone_names()
    if module in gone["modules"]:
        return
    there = vars(importlib.import_module(module))
    assert [name for name in names if name not in [*there, *gone.get(module, [])]] == []


@pytest.mark.parametrize(("owner", "gone"), gone_names().items())
def test_gone_names_are_gone(owner: str, gone: list[str]) -> None:
    assert gone
    if owner == "modules":
        assert [name for name in gone if importlib.util.find_spec(name)] == []
        return
    objects = owners()
    try:
        assert [name for name in gone if hasattr(objects[owner], name)] == []
    finally:
        storage = objects["snakemq.storage.sqlite.SqliteQueuesStorage"]
        assert isinstance(storage, SqliteQueuesStorage)
        storage.close()
        link = objects["snakemq.link.Link"]
        assert isinstance(link, Link)
        link.cleanup()


def test_documented_names_are_on_the_page() -> None:
    stays = PAGE.partition("## What stays")[2].partition("## Link")[0]
    for line in (ROOT / "tests/packaging/names_of_1.6.txt").read_text().splitlines():
        module, _, names = line.partition(": ")
        if line.startswith("#") or module in {"snakemq.exceptions", "snakemq.callbacks"}:
            continue
        for name in names.split():
            assert hasattr(importlib.import_module(module), name)
            # errors are on the page as "all exceptions"
            assert f"`{name}`" in stays or name.endswith(("Error", "Warning", "ed", "Call"))


def test_versions() -> None:
    assert snakemq.__version__.startswith("2.")
    assert PROTOCOL_VERSION == 1
