"""Many rules: who may do what, and who may not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

from snakemq.identity import Identity

from ._patterns import EVERYTHING, GROUP, key_of, keys_of_ident, prefix_of
from ._policy import Action
from ._rule import Allow, Deny, Rule, check_groups, checked_members

MAX_IDENTS = 4096
"""Idents whose rights are remembered. Peers that prove nothing choose their idents, so there is no
end of them."""


class Rights:
    """What one ident may do."""

    __slots__ = ("allowed", "denied", "groups")

    def __init__(self, groups: frozenset[str]) -> None:
        self.groups = groups
        self.allowed: dict[Action, set[str]] = {"message": set(), "call": set(), "admin": set()}
        self.denied: dict[Action, set[str]] = {"message": set(), "call": set(), "admin": set()}


class Rules:
    """Allows what a rule allows and none denies; refuses all else. A policy.

    The order of the rules has no meaning. ``groups``: the names of groups, without ``@``, and the
    idents in each; they may be prefixes such as ``"sensor-*"``, but not groups.

    Rules look at idents only. How well an ident is proven is up to the authenticator: without one,
    every peer is called whatever it likes.

    Immutable and thread-safe. The time of :meth:`allows` does not depend on the number of rules.
    To change rules, make new ones and assign them to ``messaging.policy``.

    Raises :exc:`RulesError` if a rule or group is wrong.
    """

    def __init__(
        self,
        rules: Iterable[Allow | Deny] = (),
        *,
        groups: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        self._groups_by_key: dict[str, list[str]] = {}
        self._rules_by_key: dict[str, list[Rule]] = {}
        self._prefixes: dict[str, None] = {}
        self._rights: dict[str, Rights] = {}
        self._groups = frozenset(groups or ())
        for name, members in (groups or {}).items():
            for member in checked_members(name, members):
                self._file(self._groups_by_key, member, name)
        for rule in rules:
            if not isinstance(rule, (Allow, Deny)):
                raise TypeError(f"rules are Allow and Deny, not {rule!r}")
            check_groups(rule, self._groups)
            for who in rule.who:
                self._file(self._rules_by_key, who, rule)

    @classmethod
    def from_toml(cls, path: str | PathLike[str]) -> Rules:
        """Read rules from a file.

            [groups]
            operators = ["alice", "bob"]

            [[allow]]
            who = "@operators"
            message = true
            call = ["calculator.*", "shop.order"]

            [[deny]]
            who = "bob"
            call = "calculator.reset"

        Tables and keys are the arguments of :class:`Rules`, :class:`Allow` and :class:`Deny`.
        Raises ``OSError``, and :exc:`RulesError` with the place in the file.
        """
        from ._toml import read  # with tomllib, which few need

        rules, groups = read(path)
        return cls(rules, groups=groups)

    def allows(self, identity: Identity, action: Action, target: str, /) -> bool:
        """Return whether the peer may do this, see :class:`Policy`."""
        # 0.4 µs, with one rule or with thousands.
        rights = self._rights.get(identity.ident) or self._work_out(identity.ident)
        patterns = (EVERYTHING, target, target.rpartition(".")[0] + ".*")  # those that cover it
        return rights.denied[action].isdisjoint(patterns) and not rights.allowed[action].isdisjoint(
            patterns
        )

    def is_member(self, identity: Identity, group: str, /) -> bool:
        """Return whether the peer is in a group; nobody is in one that does not exist."""
        rights = self._rights.get(identity.ident) or self._work_out(identity.ident)
        return group in rights.groups

    def __repr__(self) -> str:
        rules = {id(rule) for found in self._rules_by_key.values() for rule in found}
        return f"<Rules: {len(rules)} rules, {len(self._groups)} groups>"

    def _file(self, index: dict[str, list[Any]], who: str, entry: object) -> None:
        index.setdefault(key_of(who), []).append(entry)
        prefix = prefix_of(who)
        if prefix is not None:
            self._prefixes[prefix] = None

    def _work_out(self, ident: str) -> Rights:
        """Collect the rights of an ident, and remember them."""
        keys = keys_of_ident(ident, self._prefixes)
        groups = frozenset(group for key in keys for group in self._groups_by_key.get(key, ()))
        keys += (GROUP + group for group in groups)
        rights = Rights(groups)
        for key in keys:
            for rule in self._rules_by_key.get(key, ()):
                side = rights.allowed if isinstance(rule, Allow) else rights.denied
                for action, targets in rule.targets().items():
                    side[action].update(targets)
        if len(self._rights) >= MAX_IDENTS:
            self._rights.clear()
        self._rights[ident] = rights
        return rights
