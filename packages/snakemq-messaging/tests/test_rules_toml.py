"""Rules are read from TOML, and mistakes are told with their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from snakemq.identity import Identity
from snakemq.policy import Rules, RulesError

EXAMPLE = """
[groups]
operators = ["alice", "bob"]

[[allow]]
who = "@operators"
message = true
call = ["calculator.*", "shop.order"]

[[deny]]
who = "bob"
call = "calculator.reset"

[[allow]]
who = ["sensor-*", "carol"]
admin = "queue.*"
"""


def written(folder: Path, text: str | bytes) -> Path:
    file = folder / "rules.toml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_rules_are_read_from_a_file(tmp_path: Path) -> None:
    rules = Rules.from_toml(written(tmp_path, EXAMPLE))
    alice, bob, carol = map(Identity, ("alice", "bob", "carol"))
    assert rules.allows(alice, "message", "")
    assert rules.allows(alice, "call", "calculator.reset")
    assert rules.allows(bob, "call", "calculator.add")
    assert not rules.allows(bob, "call", "calculator.reset")
    assert not rules.allows(bob, "call", "shop.list")
    assert rules.allows(carol, "admin", "queue.purge")
    assert not rules.allows(carol, "message", "")
    assert repr(rules) == "<Rules: 3 rules, 1 groups>"


def test_empty_file_allows_nothing(tmp_path: Path) -> None:
    assert not Rules.from_toml(written(tmp_path, "")).allows(Identity("bob"), "message", "")


def test_path_may_be_a_string(tmp_path: Path) -> None:
    assert isinstance(Rules.from_toml(str(written(tmp_path, EXAMPLE))), Rules)


def test_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Rules.from_toml(tmp_path / "absent.toml")


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("[[allow]\n", "", "at line 1, column 8"),
        (b"# \xff\n", "", "can't decode byte 0xff"),
        ("[alow]\n", "", "there is no 'alow', only 'groups', [[allow]] and [[deny]]"),
        ("[allow]\nwho = 'bob'\n", "", "write [[allow]], with two brackets, for each rule"),
        ("groups = ['bob']\n", "", "groups: write [groups], and below it"),
        ("[groups]\ng = ['@h']\n", "", "group 'g': '@h' is a group"),
        ("[groups]\ng = 3\n", "", "group 'g': its members: a string or a list of strings"),
        ("[[deny]]\nwho = 'bob'\n", "line 1, [[deny]] number 1", "a rule is about"),
        ("# x\n\n[[deny]]\ncall = '*'\n", "line 3, [[deny]] number 1", "who is missing"),
        (
            "[[allow]]\nwho = 'bob'\nmessage = true\n\n[[allow]]\nwho = 'bob'\ncal = '*'\n",
            "line 5, [[allow]] number 2",
            "there is no 'cal', only 'who', 'message', 'call', 'admin'",
        ),
        (
            "[[ \"allow\" ]]\nwho = '@g'\ncall = '*'\n",
            "line 1, [[allow]] number 1",
            "who: there is no group 'g'",
        ),
        (
            "[[allow]]\nwho = 'bob'\nmessage = 'yes'\n",
            "line 1, [[allow]] number 1",
            "message is True or False, not 'yes'",
        ),
        (
            "[[allow]]\nwho = 'bob'\ncall = ['a.b', 'calculator']\n",
            "line 1, [[allow]] number 1",
            "call: 'calculator': write 'object.method'",
        ),
        (
            "[[allow]]\nwho = 'bob'\ncall = 7\n",
            "line 1, [[allow]] number 1",
            "call: a string or a list of strings, not 7",
        ),
        # Where the line cannot be told, the number is.
        ("allow = [{who = 'bob'}]\n", "[[allow]] number 1", "a rule is about"),
        ("allow = ['bob']\n", "[[allow]] number 1", "a rule is a table, not 'bob'"),
    ],
)
def test_mistake_is_told_with_its_place(
    tmp_path: Path, text: str | bytes, place: str, what: str
) -> None:
    file = written(tmp_path, text)
    with pytest.raises(RulesError) as caught:
        Rules.from_toml(file)
    told = str(caught.value)
    assert told.startswith(f"{file}, {place}: " if place else f"{file}: ")
    assert what in told
