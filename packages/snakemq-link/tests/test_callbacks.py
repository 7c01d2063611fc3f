"""Events: order, exceptions, and changes while they happen."""

from __future__ import annotations

import functools
import operator
import types
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest import mock

import pytest

from snakemq.callbacks import Callback, Event
from snakemq.link import Link
from snakemq.link.testing import MemoryNetwork
from snakemq.packeter import Packeter
from snakemq.throttle import Throttle


def test_callables_are_called_in_the_order_they_were_added() -> None:
    calls: list[object] = []
    event: Callback[...] = Callback()
    event()
    event.add(lambda *args, **options: calls.append((1, args, options)))
    event.add(lambda *args, **options: calls.append((2, args, options)))
    event("a", b=3)
    assert calls == [(1, ("a",), {"b": 3}), (2, ("a",), {"b": 3})]


def test_callable_that_was_added_twice_is_called_twice_and_removed_once() -> None:
    calls: list[int] = []
    event: Callback[[int]] = Callback()
    event.add(calls.append)
    event.add(calls.append)
    event(1)
    event.remove(calls.append)
    event(2)
    assert calls == [1, 1, 2]


def test_a_wrong_callable_is_neither_added_nor_removed() -> None:
    event: Callback[[]] = Callback()
    with pytest.raises(TypeError, match="'text'"):
        event.add("text")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="was not added"):
        event.remove(int)


def test_a_call_goes_on_with_the_callables_it_began_with() -> None:
    calls: list[str] = []
    event: Callback[[]] = Callback()

    def first() -> None:
        calls.append("first")
        event.remove(second)
        event.add(third)

    def second() -> None:
        calls.append("second")

    def third() -> None:
        calls.append("third")

    event.add(first)
    event.add(second)
    event()
    assert calls == ["first", "second"]
    event.remove(first)
    event()
    assert calls == ["first", "second", "third"]


def raise_it(exc: BaseException) -> None:
    raise exc


@pytest.mark.parametrize("call", [Callback.__call__, lambda event: event.call_while(lambda: True)])
class TestExceptions:
    def test_those_after_one_that_raises_are_called(self, call) -> None:  # type: ignore[no-untyped-def]
        calls: list[int] = []
        error = ZeroDivisionError()
        event: Callback[[]] = Callback()
        event.add(lambda: raise_it(error))
        event.add(lambda: calls.append(1))
        with pytest.raises(ZeroDivisionError) as caught:
            call(event)
        assert caught.value is error
        assert calls == [1]

    def test_several_come_as_a_group(self, call) -> None:  # type: ignore[no-untyped-def]
        errors = ZeroDivisionError(), KeyError()
        event: Callback[[]] = Callback()
        for error in errors:
            event.add(lambda error=error: raise_it(error))  # type: ignore[misc]
        with pytest.raises(ExceptionGroup) as caught:
            call(event)
        assert caught.value.exceptions == errors

    def test_interruption_is_not_held_up(self, call) -> None:  # type: ignore[no-untyped-def]
        calls: list[int] = []
        event: Callback[[]] = Callback()
        event.add(lambda: raise_it(KeyboardInterrupt()))
        event.add(lambda: calls.append(1))
        with pytest.raises(KeyboardInterrupt):
            call(event)
        assert calls == []


def test_call_while_asks_before_each() -> None:
    calls: list[str] = []
    event: Callback[[str]] = Callback()
    event.add(calls.append)
    event.add(calls.append)
    event.add(calls.append)
    event.call_while(lambda: len(calls) < 2, "x")
    assert calls == ["x", "x"]
    event.call_while(lambda: False, "y")
    assert calls == ["x", "x"]


def test_repr_shows_the_callables() -> None:
    event: Callback[[]] = Callback()
    event.add(print)
    assert "print" in repr(event)


def test_keyword_arguments_may_have_any_name() -> None:
    given: list[dict[str, int]] = []
    event: Callback[...] = Callback()
    event.add(lambda **kwargs: given.append(kwargs))
    event(self=1, condition=2)
    event.call_while(lambda: True, self=1, condition=2)
    assert given == [{"self": 1, "condition": 2}] * 2


# -- what cannot be a callback


class Calls:
    def method(self) -> None: ...

    async def async_method(self) -> None: ...

    @staticmethod
    async def async_static() -> None: ...

    @classmethod
    async def async_class(cls) -> None: ...


class AsyncCall:
    async def __call__(self) -> None: ...


class PlainCall:
    def __call__(self) -> None: ...


async def coroutine_function() -> None: ...


async def async_generator_function() -> AsyncIterator[int]:
    yield 1


def generator_function() -> Iterator[int]:
    yield 1


NEVER_RUN = [
    coroutine_function,
    async_generator_function,
    generator_function,
    functools.partial(coroutine_function),
    functools.partial(functools.partial(Calls().async_method)),
    Calls().async_method,
    Calls.async_static,
    Calls.async_class,
    vars(Calls)["async_static"],
    AsyncCall(),
    functools.partial(AsyncCall()),
    types.coroutine(generator_function),
]


@pytest.mark.parametrize("func", NEVER_RUN)
@pytest.mark.parametrize("give", [Callback.add, Callback.add_internal, Callback.replace])
def test_function_whose_body_would_never_run_is_refused(give: Any, func: Any) -> None:
    event: Callback[...] = Callback()
    event.add(print)
    with pytest.raises(TypeError, match="plain function"):
        give(event, func)
    assert event.callbacks == (print,)


@pytest.mark.parametrize(
    "func",
    [
        print,
        [].append,
        int,
        Calls,
        AsyncCall,
        Calls().method,
        PlainCall(),
        functools.partial(PlainCall()),
        lambda: coroutine_function,
        operator.methodcaller("close"),
        mock.Mock(),
        mock.MagicMock(),
        Callback(),
    ],
)
def test_anything_else_that_can_be_called_is_taken(func: Any) -> None:
    event: Callback[...] = Callback()
    event.add(func)
    assert event.callbacks == (func,)


# -- assignment


class Door:
    on_open: Event[[str]] = Event()

    def __init__(self) -> None:
        self.on_open = Callback()


def test_assigned_function_replaces_those_of_users_and_none_of_a_layer() -> None:
    calls: list[tuple[str, str]] = []

    def named(name: str) -> Callable[[str], None]:
        return lambda who: calls.append((name, who))

    door = Door()
    event = door.on_open
    event.add(named("first"))
    event.add_internal(named("layer"))
    event.add(named("second"))
    door.on_open = named("assigned")
    assert door.on_open is event
    door.on_open("alice")
    assert calls == [("layer", "alice"), ("assigned", "alice")]

    calls.clear()
    door.on_open.add(named("added"))
    door.on_open("bob")
    assert [name for name, _ in calls] == ["layer", "assigned", "added"]

    calls.clear()
    door.on_open = None
    door.on_open("carol")
    assert [name for name, _ in calls] == ["layer"]


def test_function_of_a_layer_that_was_removed_does_not_come_back() -> None:
    event: Callback[[]] = Callback()
    event.add_internal(print)
    event.remove(print)
    event.replace(None)
    assert event.callbacks == ()


def test_event_that_is_assigned_to_itself_stays_as_it_is() -> None:
    door = Door()
    door.on_open.add(str)
    door.on_open = door.on_open
    assert door.on_open.callbacks == (str,)


def test_event_of_another_object_that_is_assigned_is_called_too() -> None:
    calls: list[str] = []
    inner, outer = Door(), Door()
    inner.on_open.add(calls.append)
    outer.on_open = inner.on_open
    outer.on_open("alice")
    assert calls == ["alice"]


def test_event_of_each_object_is_its_own() -> None:
    one, other = Door(), Door()
    one.on_open = str
    assert other.on_open.callbacks == ()


@pytest.mark.parametrize("wrong", ["text", 1, [str], coroutine_function])
def test_assignment_of_anything_else_is_refused_and_changes_nothing(wrong: Any) -> None:
    door = Door()
    door.on_open.add(str)
    with pytest.raises(TypeError):
        door.on_open = wrong
    assert door.on_open.callbacks == (str,)


def test_event_must_be_made_before_a_function_can_be_assigned() -> None:
    door = Door.__new__(Door)
    with pytest.raises(TypeError, match="on_open is assigned a Callback at first"):
        door.on_open = str


@pytest.mark.parametrize("make", [Link, lambda: MemoryNetwork().link("alice")])
def test_every_event_of_the_layers_takes_functions_and_goes_on_with_its_own(make: Any) -> None:
    link = make()
    throttle = Throttle(link, 1000)
    packeter = Packeter(throttle)
    try:
        for layer in (link, throttle, packeter):
            names = [name for name in vars(layer) if name.startswith("on_")]
            assert len(names) >= 5
            for name in names:
                event = getattr(layer, name)
                own = event.callbacks
                setattr(layer, name, print)
                assert getattr(layer, name) is event
                assert event.callbacks == (*own, print)
                setattr(layer, name, None)
                assert event.callbacks == own
    finally:
        if isinstance(link, Link):
            link.cleanup()
