"""Each setting is an argument and an attribute, and both are checked by the same rule."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import pytest
from real_links import DiaryLink

from snakemq._settings import Setting
from snakemq.link import Link

NewLink = Callable[..., DiaryLink]

SETTINGS = [name for name, value in vars(Link).items() if isinstance(value, Setting)]


def test_every_argument_of_a_link_is_a_setting_and_every_setting_an_argument() -> None:
    arguments = list(inspect.signature(Link).parameters.values())
    assert {argument.name for argument in arguments} == set(SETTINGS)
    assert {argument.kind for argument in arguments} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("name", SETTINGS)
def test_setting_is_described(name: str) -> None:
    assert f"\n    - ``{name}``: " in str(Link.__doc__)


@pytest.mark.parametrize("name", SETTINGS)
def test_setting_keeps_what_it_was_given_and_its_default(name: str, new_link: NewLink) -> None:
    default = inspect.signature(Link).parameters[name].default
    link = new_link()
    assert getattr(link, name) == default
    assert getattr(new_link(**{name: default}), name) == default
    setattr(link, name, default)
    assert getattr(link, name) == default


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("wrong", ["1", object(), -1])
def test_wrong_value_is_refused_by_its_name(name: str, wrong: object, new_link: NewLink) -> None:
    link = new_link()
    before = getattr(link, name)
    with pytest.raises((TypeError, ValueError), match=f"^{name} must be "):
        new_link(**{name: wrong})
    with pytest.raises((TypeError, ValueError), match=f"^{name} must be "):
        setattr(link, name, wrong)
    assert getattr(link, name) == before
