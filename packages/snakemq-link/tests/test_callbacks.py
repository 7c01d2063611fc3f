"""Events: order, exceptions, and changes while they happen."""

from __future__ import annotations

import pytest

from snakemq.callbacks import Callback


def test_callables_are_called_in_the_order_they_were_added_with_all_arguments() -> None:
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


def test_wrong_ones_are_refused() -> None:
    event: Callback[[]] = Callback()
    with pytest.raises(TypeError, match="'text'"):
        event.add("text")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="was not added"):
        event.remove(int)


def test_call_that_is_under_way_goes_on_with_those_that_were_there_when_it_began() -> None:
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
