"""Rules allow what a rule allows and none denies."""

from __future__ import annotations

import gc
import random
import sys
from collections.abc import Callable, Iterable
from itertools import product
from types import FrameType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snakemq.exceptions import SnakeMQException
from snakemq.identity import Identity
from snakemq.policy import Action, Allow, Deny, GroupPolicy, Policy, Rules, RulesError
from snakemq.policy._rules import MAX_IDENTS


def may(rules: Policy, ident: str, action: Action, target: str = "") -> bool:
    return rules.allows(Identity(ident), action, target)


def test_nothing_is_allowed_without_a_rule() -> None:
    rules = Rules()
    assert not may(rules, "bob", "message")
    assert not may(rules, "bob", "call", "calculator.add")
    assert not may(rules, "bob", "admin", "queue.purge")


def test_rule_allows_only_its_own_action() -> None:
    for allowed in ({"message": True}, {"call": "*"}, {"admin": "*"}):
        rules = Rules([Allow("bob", **allowed)])
        actions: tuple[Action, ...] = ("message", "call", "admin")
        assert {action for action in actions if may(rules, "bob", action, "x.y")} == set(allowed)


@pytest.mark.parametrize(
    ("pattern", "ident", "is_match"),
    [
        ("bob", "bob", True),
        ("bob", "Bob", False),
        ("bob", "bob ", False),
        ("bob", "bobby", False),
        ("*", "anybody", True),
        ("*", "", True),
        ("sensor-*", "sensor-7", True),
        ("sensor-*", "sensor-", True),
        ("sensor-*", "Sensor-7", False),
        ("sensor-*", "my-sensor-7", False),
        ("@operators", "alice", True),
        ("@operators", "probe-1", True),
        ("@operators", "bob", False),
        # A peer may call itself anything.
        ("@operators", "@operators", False),
        ("@operators", "operators", False),
        ("sensor-*", "sensor-*", True),
        ("bob", "*", False),
        ("=bob", "bob", False),
        ("^b*", "b", False),
        ("^b*", "bob", False),
        ("b*", "^b", False),
        # The same letter, composed and decomposed: nothing is normalised.
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE}", "cafe\N{COMBINING ACUTE ACCENT}", False),
    ],
)
def test_rule_names_peers_by_a_pattern(pattern: str, ident: str, is_match: bool) -> None:
    groups = {"operators": ["alice", "probe-*"]}
    assert may(Rules([Allow(pattern, message=True)], groups=groups), ident, "message") is is_match
    denying = Rules([Allow("*", message=True), Deny(pattern, message=True)], groups=groups)
    assert may(denying, ident, "message") is not is_match


@pytest.mark.parametrize(
    ("pattern", "target", "is_match"),
    [
        ("calculator.add", "calculator.add", True),
        ("calculator.add", "calculator.Add", False),
        ("calculator.add", "calculator.add2", False),
        ("calculator.*", "calculator.add", True),
        ("calculator.*", "calculator2.add", False),
        ("calculator.*", "calculator", False),
        ("*", "calculator.add", True),
        # What is behind the last dot is the method.
        ("a.*", "a.b.c", False),
        ("a.b.*", "a.b.c", True),
        ("a.b.c", "a.b.c", True),
        # A peer may ask for anything.
        ("calculator.*", "calculator.*", True),
        ("calculator.add", "calculator.*", False),
        ("calculator.add", "*", False),
        ("calculator.*", "*", False),
        ("calculator.*", ".add", False),
        ("calculator.*", "", False),
    ],
)
def test_rule_names_methods_by_a_pattern(pattern: str, target: str, is_match: bool) -> None:
    assert may(Rules([Allow("bob", call=pattern)]), "bob", "call", target) is is_match
    denying = Rules([Allow("bob", call="*"), Deny("bob", call=pattern)])
    assert may(denying, "bob", "call", target) is not is_match


def test_commands_of_administration_need_no_dot() -> None:
    rules = Rules([Allow("bob", admin=["top", "queue.*"])])
    assert may(rules, "bob", "admin", "top")
    assert may(rules, "bob", "admin", "queue.purge")
    assert not may(rules, "bob", "admin", "dead.purge")


def test_peer_has_the_rights_of_all_its_groups() -> None:
    rules = Rules(
        [Allow("@readers", call="shop.list"), Allow(["@writers", "carol"], call="shop.order")],
        groups={"readers": ["alice", "bob"], "writers": ["bob"]},
    )
    calls = {
        ident: {
            method for method in ("list", "order") if may(rules, ident, "call", f"shop.{method}")
        }
        for ident in ("alice", "bob", "carol", "dave")
    }
    assert calls == {"alice": {"list"}, "bob": {"list", "order"}, "carol": {"order"}, "dave": set()}


def test_rules_know_the_members_of_groups() -> None:
    rules = Rules(groups={"operators": ["alice", "probe-*"], "nobody": []})
    assert isinstance(rules, GroupPolicy)
    assert rules.is_member(Identity("alice"), "operators")
    assert rules.is_member(Identity("probe-1"), "operators")
    assert not rules.is_member(Identity("bob"), "operators")
    assert not rules.is_member(Identity("alice"), "nobody")
    assert not rules.is_member(Identity("alice"), "missing")


# -- properties

IDENTS = ("alice", "bob", "bobby", "*", "@g", "=bob", "")
TARGETS = ("a.x", "a.y", "a.b.x", "*", "a.*", "x", "")
NAMES = ("alice", "bob", "bob*", "*", "@g", "@h")
CALLS = ("*", "a.*", "a.x", "a.y", "a.b.*", "a.b.x")
GROUPS = {"g": ["alice", "bo*"], "h": ["bobby", "="]}

names = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3)
calls = st.lists(st.sampled_from(CALLS), min_size=1, max_size=3)
allows = st.builds(Allow, names, message=st.booleans(), call=calls)
denials = st.builds(Deny, names, message=st.booleans(), call=calls)
some_rules = st.lists(allows | denials, max_size=6)


def all_answers(rules: Iterable[Allow | Deny]) -> dict[tuple[str, str], bool]:
    policy = Rules(rules, groups=GROUPS)
    answers = {
        (ident, target): may(policy, ident, "call", target)
        for ident, target in product(IDENTS, TARGETS)
    }
    return answers | {(ident, "message"): may(policy, ident, "message") for ident in IDENTS}


def simply(rules: Iterable[Allow | Deny], ident: str, target: str | None) -> bool:
    """Answer as the documentation says it, one rule after the other."""

    def names_it(who: str) -> bool:
        if who.startswith("@"):
            return any(names_it(member) for member in GROUPS[who[1:]])
        return ident.startswith(who[:-1]) if who.endswith("*") else ident == who

    def covers(pattern: str) -> bool:
        if pattern == "*":
            return True
        assert target is not None
        object_name = target.rpartition(".")[0]
        return pattern == target or (pattern.endswith(".*") and pattern[:-2] == object_name)

    def is_about(rule: Allow | Deny) -> bool:
        if not any(map(names_it, rule.who)):
            return False
        return rule.message if target is None else any(map(covers, rule.call))

    about = [type(rule) for rule in rules if is_about(rule)]
    return Allow in about and Deny not in about


@given(some_rules)
def test_answers_are_those_of_a_walk_over_all_rules(rules: list[Allow | Deny]) -> None:
    for (ident, what), answer in all_answers(rules).items():
        target = None if what == "message" else what
        assert answer is simply(rules, ident, target), (ident, what)


@given(some_rules, st.randoms(use_true_random=False))
def test_order_of_the_rules_has_no_meaning(
    rules: list[Allow | Deny], chance: random.Random
) -> None:
    shuffled = list(rules)
    chance.shuffle(shuffled)
    assert all_answers(shuffled) == all_answers(rules)


@given(some_rules, denials)
def test_denial_wins_over_every_other_rule(rules: list[Allow | Deny], denial: Deny) -> None:
    before, after = all_answers(rules), all_answers([denial, *rules])
    only_this = all_answers([Allow("*", message=True, call="*"), denial])
    for question, answer in after.items():
        assert answer is (before[question] and only_this[question])


@given(some_rules, allows)
def test_allowance_takes_nothing_away(rules: list[Allow | Deny], more: Allow) -> None:
    after = all_answers([*rules, more])
    assert all(after[question] for question, answer in all_answers(rules).items() if answer)


@given(st.text(), st.sampled_from(("message", "call", "admin")), st.text())
def test_any_ident_and_any_target_has_an_answer(ident: str, action: Action, target: str) -> None:
    assert not may(Rules([Allow("alice", call="a.b")]), f"x{ident}", action, target)
    assert may(Rules([Allow("*", message=True, call="*", admin="*")]), ident, action, target)


# -- what they cost


def python_calls(func: Callable[[], object]) -> int:
    count = 0

    def profile(_frame: FrameType, event: str, _arg: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    gc.disable()  # its callbacks would be counted as well
    sys.setprofile(profile)
    try:
        func()
    finally:
        sys.setprofile(before)
        gc.enable()
    return count


def test_thousand_rules_cost_no_more_calls_than_one() -> None:
    def rules(count: int) -> Rules:
        made = [Allow(["bob", f"peer-{n}"], call=f"object-{n}.*") for n in range(count)]
        made[0] = Allow("bob", call="object-0.*")
        return Rules(made, groups={f"group-{n}": [f"peer-{n}"] for n in range(count)})

    counts = set()
    for policy in (rules(1), rules(1000)):
        may(policy, "bob", "call", "object-0.run")
        counts.add(python_calls(lambda policy=policy: may(policy, "bob", "call", "object-0.run")))  # type: ignore[misc]
        counts.add(python_calls(lambda policy=policy: may(policy, "bob", "call", "absent.run")))  # type: ignore[misc]
    assert len(counts) == 1, counts


def test_memory_of_idents_is_bounded() -> None:
    rules = Rules([Allow("*", message=True), Deny("bob", message=True)])
    for number in range(2 * MAX_IDENTS + 10):
        assert may(rules, f"stranger {number}", "message")
        assert len(rules._rights) <= MAX_IDENTS
    assert not may(rules, "bob", "message")


# -- mistakes


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Allow([], message=True), "who: nobody is named"),
        (lambda: Allow("bob"), "a rule is about message=True, call= or admin="),
        (lambda: Allow("", message=True), "who: '' names nobody"),
        (lambda: Allow("@", message=True), "who: '@' names nobody"),
        (lambda: Allow("b*b", message=True), "who: 'b*b': a star stands only at the end"),
        (lambda: Allow("@g*", message=True), "who: '@g*': the name of a group has no star"),
        (lambda: Allow("bob", call="calculator"), "call: 'calculator': write 'object.method'"),
        (lambda: Allow("bob", call="calc*.add"), "call: 'calc*.add': a star stands alone, or"),
        (lambda: Allow("bob", call="*.add"), "call: '*.add': a star stands alone, or"),
        (lambda: Allow("bob", call="calc.a*"), "call: 'calc.a*': a star stands alone, or"),
        (lambda: Allow("bob", call="calc.**"), "call: 'calc.**': a star stands alone, or"),
        (lambda: Allow("bob", call=".add"), "call: '.add' is not a target: something is empty"),
        (lambda: Allow("bob", call="calc."), "call: 'calc.' is not a target: something is empty"),
        (lambda: Allow("bob", admin=""), "admin: '' is not a target: something is empty"),
        (lambda: Allow("bob", admin=".*"), "admin: '.*' is not a target: something is empty"),
        (lambda: Allow("bob", admin="queue*"), "admin: 'queue*': a star stands alone, or"),
        (lambda: Rules([Allow("@g", call="a.b")]), "who: there is no group 'g'"),
        (lambda: Rules(groups={"@g": []}), "group '@g': the name of a group is a text without"),
        (lambda: Rules(groups={"": []}), "group '': the name of a group is a text without"),
        (lambda: Rules(groups={"g": ["@h"]}), "group 'g': '@h' is a group, and groups have only"),
        (lambda: Rules(groups={"g": ["a*b"]}), "group 'g': its members: 'a*b': a star stands"),
        (lambda: Rules(groups={"g": [3]}), "group 'g': its members: an ident or a group is a"),  # type: ignore[list-item]
        (lambda: Rules(groups={"g": 3}), "group 'g': its members: a string or a list of"),  # type: ignore[dict-item]
    ],
)
def test_wrong_rule_is_refused(make: Callable[[], object], text: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        make()
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Allow(3, message=True),  # type: ignore[arg-type]
        lambda: Allow(b"bob", message=True),  # type: ignore[arg-type]
        lambda: Allow("bob", message="yes"),  # type: ignore[arg-type]
        lambda: Allow("bob", call=[b"a.b"]),  # type: ignore[list-item]
        lambda: Allow("bob", call={"a.b": True}),
        lambda: Rules(["bob"]),  # type: ignore[list-item]
    ],
)
def test_rule_of_the_wrong_type_is_refused(make: Callable[[], object]) -> None:
    with pytest.raises(TypeError):
        make()


def test_errors_of_rules_belong_to_the_family() -> None:
    assert issubclass(RulesError, SnakeMQException)
    assert issubclass(RulesError, ValueError)


def test_rules_are_values_that_show_what_they_say() -> None:
    assert Allow("bob", call="a.b") == Allow(["bob"], call=["a.b"])
    assert Allow("bob", call="a.b") != Deny("bob", call="a.b")
    assert len({Allow("bob", call="a.b"), Allow(["bob"], call=["a.b"])}) == 1
    with pytest.raises(AttributeError, match="a rule cannot be changed"):
        Deny("bob", message=True).who = ("alice",)
    assert repr(Deny("bob", message=True)) == "Deny(who=('bob',), message=True, call=(), admin=())"
    assert repr(Rules([Allow(["a", "b"], call="x.y")], groups={"g": ["a"]})) == (
        "<Rules: 1 rules, 1 groups>"
    )
