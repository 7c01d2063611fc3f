"""One rule, and one group: what they say, and whether that makes sense."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping

from snakemq.exceptions import SnakeMQException

from ._patterns import EVERYTHING, GROUP, check_admin, check_call, check_who
from ._policy import Action


class RulesError(SnakeMQException, ValueError):
    """Rules are wrong. The text says which of them, and what about it."""


class Rule:
    """What :class:`Allow` and :class:`Deny` have in common. Immutable."""

    # Not a dataclass, which would take most of the time that the import of messaging takes.
    __slots__ = ("admin", "call", "message", "who")

    who: tuple[str, ...]
    message: bool
    call: tuple[str, ...]
    admin: tuple[str, ...]

    def __init__(
        self,
        who: str | Iterable[str],
        *,
        message: bool = False,
        call: str | Iterable[str] = (),
        admin: str | Iterable[str] = (),
    ) -> None:
        if not isinstance(message, bool):
            raise TypeError(f"message is True or False, not {message!r}")
        put = object.__setattr__
        put(self, "who", _patterns("who", who, check_who))
        put(self, "message", message)
        put(self, "call", _patterns("call", call, check_call))
        put(self, "admin", _patterns("admin", admin, check_admin))
        if not self.who:
            raise ValueError("who: nobody is named")
        if not (message or self.call or self.admin):
            raise ValueError("a rule is about message=True, call= or admin=")

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a rule cannot be changed, not even its {name}: make a new one")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self.who == other.who and self.targets() == other.targets()

    def __hash__(self) -> int:
        return hash((type(self), self.who, self.message, self.call, self.admin))

    def __repr__(self) -> str:
        fields = (f"{name}={getattr(self, name)!r}" for name in ("who", "message", "call", "admin"))
        return f"{type(self).__name__}({', '.join(fields)})"

    def targets(self) -> dict[Action, tuple[str, ...]]:
        """Return what the rule is about, as patterns."""
        message = (EVERYTHING,) if self.message else ()
        return {"message": message, "call": self.call, "admin": self.admin}


class Allow(Rule):
    """Allows something to some peers. One pattern can stand without a list.

    - ``who``: idents, ``"sensor-*"`` for all idents that begin so, ``"@operators"`` for a group,
      ``"*"`` for everybody.
    - ``message``: their messages are passed to callbacks.
    - ``call``: methods they may call: ``"calculator.add"``, ``"calculator.*"`` or ``"*"``.
    - ``admin``: what they may look at or change in this process, named in the same way.

    Upper and lower case differ. Raises ``TypeError`` and ``ValueError`` for anything else, and for
    a rule that is about nothing.
    """

    __slots__ = ()


class Deny(Rule):
    """Denies something to some peers, whatever others allow. Its arguments are those of
    :class:`Allow`."""

    __slots__ = ()


def check_groups(rule: Rule, groups: Container[str]) -> None:
    """Raise :exc:`RulesError` if a rule names a group that does not exist."""
    for who in rule.who:
        if who.startswith(GROUP) and who.removeprefix(GROUP) not in groups:
            raise RulesError(f"who: there is no group {who.removeprefix(GROUP)!r}")


def checked_members(name: object, members: object) -> tuple[str, ...]:
    """Return the members of a group. Raises :exc:`RulesError` if something is wrong with it."""
    try:
        if not isinstance(name, str) or not name or set(name) & {GROUP, EVERYTHING}:
            raise ValueError("the name of a group is a text without '@' and '*'")
        patterns = _patterns("its members", members, check_who)
        for member in patterns:
            if member.startswith(GROUP):
                raise ValueError(f"{member!r} is a group, and groups have only idents as members")
        return patterns
    except (TypeError, ValueError) as exc:
        raise RulesError(f"group {name!r}: {exc}") from exc


def _patterns(what: str, given: object, check: Callable[[object], None]) -> tuple[str, ...]:
    if isinstance(given, str):
        given = (given,)
    if not isinstance(given, Iterable) or isinstance(given, (bytes, Mapping)):
        raise TypeError(f"{what}: a string or a list of strings, not {given!r}")
    patterns = tuple(given)
    for pattern in patterns:
        try:
            check(pattern)
        except (TypeError, ValueError) as exc:
            raise type(exc)(f"{what}: {exc}") from None
    return patterns
