from __future__ import annotations

from typing import Any

import pytest

from snakemq.rpc import Error, NoMethodError, as_signal, inline
from snakemq.rpc._replies._exposed import ExposedObject

ran: list[str] = []


class Shop:
    number = 5

    def __init__(self) -> None:
        self.attribute = lambda: "callable"
        self._secret = lambda: "secret"

    def sell(self) -> str:
        return "sold"

    def _hidden(self) -> None: ...

    @property
    def handler(self) -> Any:
        ran.append("property")
        return print

    @inline
    def quick(self) -> None: ...

    @inline
    @as_signal
    def quick_signal(self) -> None: ...

    @as_signal
    @inline
    def quick_signal_too(self) -> None: ...

    @staticmethod
    @inline
    def static() -> None: ...

    @classmethod
    @inline
    def of_class(cls) -> None: ...

    @inline
    def _hidden_inline(self) -> None: ...


class Extended(Shop):
    def sell(self) -> str:
        return "sold for less"


@pytest.fixture(autouse=True)
def no_property_runs() -> Any:
    ran.clear()
    yield
    assert ran == []


def test_methods_and_callable_attributes_are_exposed() -> None:
    shop = ExposedObject(Shop(), None)
    assert shop.method("sell")() == "sold"
    assert shop.method("attribute")() == "callable"
    assert ExposedObject(Extended(), None).method("sell")() == "sold for less"


@pytest.mark.parametrize(
    "name",
    ["_hidden", "_secret", "__class__", "__init__", "__dict__", "number", "handler", "", "absent"],
)
def test_nothing_else_is(name: str) -> None:
    with pytest.raises(NoMethodError):
        ExposedObject(Shop(), None).method(name)


def test_a_list_of_names_restricts_it() -> None:
    shop = ExposedObject(Shop(), ["quick"])
    assert shop.method("quick") is not None
    with pytest.raises(NoMethodError, match="sell"):
        shop.method("sell")
    with pytest.raises(NoMethodError):
        ExposedObject(Shop(), []).method("sell")


def test_the_list_may_be_any_iterable() -> None:
    assert ExposedObject(Shop(), iter(("sell",))).method("sell")() == "sold"


@pytest.mark.parametrize("methods", [["_hidden"], ["absent"], ["sell", "number"]])
def test_names_that_can_never_be_called_are_refused(methods: list[str]) -> None:
    with pytest.raises(ValueError, match=methods[-1]):
        ExposedObject(Shop(), methods)


def test_a_string_is_not_a_list_of_names() -> None:
    with pytest.raises(TypeError):
        ExposedObject(Shop(), "sell")


def test_inline_methods_are_known_in_advance() -> None:
    inline_names = {"quick", "quick_signal", "quick_signal_too", "static", "of_class"}
    assert ExposedObject(Shop(), None).inline == inline_names
    assert ExposedObject(Extended(), None).inline == inline_names


def test_a_module_can_be_registered() -> None:
    import math

    assert ExposedObject(math, ["sqrt"]).method("sqrt")(4) == 2


class Async:
    async def work(self) -> str:
        return "never"

    async def stream(self) -> Any:
        yield "never"

    @staticmethod
    async def static() -> str:
        return "never"

    def plain(self) -> str:
        return "plain"


@pytest.mark.parametrize("name", ["work", "stream", "static"])
def test_async_methods_are_not_called(name: str) -> None:
    exposed = ExposedObject(Async(), None)
    with pytest.raises(Error, match="async method"):
        exposed.method(name)
    assert exposed.method("plain")() == "plain"
    with pytest.raises(TypeError, match="async method"):
        ExposedObject(Async(), [name])
