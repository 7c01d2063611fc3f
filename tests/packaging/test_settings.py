"""A setting is an argument of the constructor and an attribute of the same name, under one rule."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from sqlite3 import connect
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import sessionmaker

from snakemq._settings import Fixed, Setting
from snakemq.aio import Peer as AioPeer
from snakemq.identity import CertificateIdents
from snakemq.link import Link, PeerCredentials, SSLConfig, UnixCredentials
from snakemq.messaging import Messaging, QueueLimits, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.peer import Peer
from snakemq.policy import Rules
from snakemq.queues import MemoryQueuesStorage, QueuesStorageBase
from snakemq.rpc import RpcClient, RpcServer, SafePickler
from snakemq.storage.mongodb import MongoDbQueuesStorage
from snakemq.storage.sqla import SqlAlchemyInbox, SqlAlchemyQueuesStorage
from snakemq.storage.sqlite import SqliteInbox, SqliteQueuesStorage
from snakemq.throttle import Throttle
from tests.packaging.test_public_names import PUBLIC_MODULES, classes_of

PUBLIC = sorted(
    {
        public
        for module in PUBLIC_MODULES
        if not module.endswith((".testing", ".parts"))  # for authors of links and of storages
        for public in classes_of(importlib.import_module(module))
        if "__init__" in vars(public) and not issubclass(public, Exception)
    },
    key=lambda public: public.__name__,
)

OWNERS: dict[type[Any], set[str]] = {
    Link: set(),
    MemoryQueuesStorage: {"predecessor"},
    Messaging: {"dead_letters", "domain", "packeter"},
    MongoDbQueuesStorage: {"host", "port", "database", "client_options"},
    Packeter: {"link"},
    RpcClient: {"receive_hook", "pickler"},
    RpcServer: {"receive_hook", "pickler"},
    SafePickler: set(),
    SqlAlchemyInbox: {"session_factory"},
    SqlAlchemyQueuesStorage: {"url_or_engine", "engine_options"},
    SqliteInbox: {"connection"},
    SqliteQueuesStorage: set(),
    Throttle: {"link"},
}
"""The classes with settings, and those of their arguments that are not settings: the objects that
they are made of, and where a server is, which may tell its password."""

OF_1_6 = {"link", "receive_hook", "packeter", "host", "port", "database", "collection", "speed"} | {
    *("identifier", "domain", "queues_storage", "pickler", "filename", "table_prefix")
}
"""Arguments that may be given by their position."""

OTHERS: dict[type[Any], str] = {
    SSLConfig: "what is right depends on the other arguments",
    QueueLimits: "a tuple, which cannot change; see below",
    CertificateIdents: "what is right depends on the other arguments",
    Rules: "they are replaced as a whole",
    AioPeer: "it gives them to the layers, which have them",
    Peer: "it gives them to the layers, which have them",
    PeerCredentials: "what is known about a connection",
    UnixCredentials: "what is known about a connection",
}


def settings_of(owner: type[Any]) -> dict[str, Setting[Any]]:
    found = {name: inspect.getattr_static(owner, name) for name in dir(owner)}
    return {name: value for name, value in found.items() if isinstance(value, Setting)}


def arguments_of(owner: type[Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(owner).parameters)


SETTINGS = [(owner, name) for owner in OWNERS for name in settings_of(owner)]
FIXED = [(owner, name) for owner, name in SETTINGS if isinstance(settings_of(owner)[name], Fixed)]

of_each_owner = pytest.mark.parametrize("owner", OWNERS, ids=lambda owner: owner.__name__)
of_each_setting = pytest.mark.parametrize(("owner", "name"), SETTINGS)


def test_every_public_class_with_keyword_arguments_has_settings() -> None:
    found = {
        public
        for public in PUBLIC
        if settings_of(public)
        or any(argument.kind is argument.KEYWORD_ONLY for argument in arguments_of(public).values())
    }
    assert found - {*OTHERS} == {*OWNERS}


@of_each_owner
def test_every_argument_is_a_setting_and_every_setting_an_argument(owner: type[Any]) -> None:
    assert {*arguments_of(owner)} - OWNERS[owner] == {*settings_of(owner)}


@of_each_setting
def test_setting_is_given_by_its_name(owner: type[Any], name: str) -> None:
    argument = arguments_of(owner)[name]
    assert argument.kind is argument.KEYWORD_ONLY or name in OF_1_6


@of_each_setting
def test_setting_has_a_line_of_its_own_in_the_docstring(owner: type[Any], name: str) -> None:
    assert f"\n- ``{name}``: " in str(inspect.getdoc(owner))


class Stack:
    """Makes objects with settings, and closes them."""

    def __init__(self, folder: Path) -> None:
        self.opened = ExitStack()
        self.link = link = Link()
        self.opened.callback(link.cleanup)
        packeter = Packeter(link)
        messaging = {"identifier": "a", "domain": "", "packeter": packeter}
        hook = {"receive_hook": ReceiveHook(Messaging("a", "", packeter))}
        self.required: dict[type[Any], dict[str, Any]] = {
            Messaging: messaging,
            Packeter: {"link": link},
            RpcClient: hook,
            RpcServer: hook,
            SqlAlchemyInbox: {"session_factory": sessionmaker(create_engine("sqlite://"))},
            SqlAlchemyQueuesStorage: {"url_or_engine": "postgresql+psycopg://x@127.0.0.1:1/x"},
            SqliteInbox: {"connection": self.opened.enter_context(closing(connect(":memory:")))},
            SqliteQueuesStorage: {"filename": folder / "queues"},
            Throttle: {"link": link, "speed": 1.0},
        }

    def make(self, owner: type[Any], **settings: Any) -> Any:
        made = owner(**self.required.get(owner, {}) | settings)
        if isinstance(made, Link):
            self.opened.callback(made.cleanup)
        elif isinstance(made, (QueuesStorageBase, RpcClient, RpcServer)):
            self.opened.callback(made.close)
        return made


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path)
    with stack.opened:
        yield stack


@of_each_setting
def test_constructor_refuses_a_wrong_value(owner: type[Any], name: str, stack: Stack) -> None:
    with pytest.raises(TypeError, match=f"^{name} must be "):
        stack.make(owner, **{name: object()})


def new(owner: type[Any]) -> Any:
    return owner.__new__(owner)  # type: ignore[call-overload]  # it takes it for a metaclass


@of_each_setting
def test_attribute_refuses_a_wrong_value(owner: type[Any], name: str) -> None:
    fresh = new(owner)
    with pytest.raises(TypeError, match=f"^{name} must be "):
        setattr(fresh, name, object())
    assert name not in vars(fresh)


@pytest.mark.parametrize(
    ("owner", "name"), [setting for setting in SETTINGS if setting not in FIXED]
)
def test_setting_keeps_its_default_until_it_is_changed(
    owner: type[Any], name: str, stack: Stack
) -> None:
    default = arguments_of(owner)[name].default
    made = stack.make(owner)
    if default is not inspect.Parameter.empty:
        assert getattr(made, name) == default
    before = getattr(made, name)
    with pytest.raises((TypeError, ValueError), match=f"^{name} must be "):
        setattr(made, name, object())
    assert getattr(made, name) == before
    setattr(made, name, before)


@pytest.mark.parametrize(("owner", "name"), FIXED)
def test_fixed_setting_is_read_only_after_the_construction(owner: type[Any], name: str) -> None:
    fresh = new(owner)
    vars(fresh)[name] = None  # as if the constructor had set it
    with pytest.raises(AttributeError, match=f"^{name} cannot be changed: .* {owner.__name__}$"):
        setattr(fresh, name, None)


@pytest.mark.parametrize("name", QueueLimits._fields)
def test_limit_of_queues_is_checked_and_described_and_read_only(name: str) -> None:
    with pytest.raises(TypeError, match=f"^{name} must be "):
        QueueLimits(**{name: object()})  # type: ignore[arg-type]
    assert f"\n- ``{name}``: " in str(inspect.getdoc(QueueLimits))
    with pytest.raises(AttributeError):
        setattr(QueueLimits(), name, None)
