"""A setting of a client or a server is an argument and an attribute, checked by the same rule."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from rpc_peers import MakeNode

from snakemq._settings import Setting
from snakemq.rpc import RpcClient, RpcServer

SETTINGS: list[tuple[type[Any], str]] = [
    (owner, name)
    for owner in (RpcClient, RpcServer)
    for name, value in vars(owner).items()
    if isinstance(value, Setting)
]


def test_settings_are_found() -> None:
    names = {name for _, name in SETTINGS}
    assert names == {"timeout", "exception_handler", "transfer_exceptions"}


@pytest.mark.parametrize(("owner", "name"), SETTINGS)
def test_setting_is_an_argument_by_name_only(owner: type[Any], name: str) -> None:
    assert inspect.signature(owner).parameters[name].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize(("owner", "name"), SETTINGS)
def test_wrong_value_is_refused_as_argument_and_as_attribute(
    owner: type[Any], name: str, node: MakeNode
) -> None:
    hook = node("alice").hook
    with pytest.raises(TypeError):
        owner(hook, **{name: "wrong"})
    made = owner(hook)
    before = getattr(made, name)
    assert before == inspect.signature(owner).parameters[name].default
    with pytest.raises(TypeError):
        setattr(made, name, "wrong")
    assert getattr(made, name) == before
