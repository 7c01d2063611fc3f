"""The patterns of rules: whom they are for, and what they are about. All are case-sensitive.

Names of peers:

- ``"*"``: everybody.
- ``"@operators"``: the members of a group.
- ``"sensor-*"``: idents that begin with ``sensor-``. A star stands only at the end.
- anything else: exactly this ident.

Targets of calls:

- ``"*"``: all methods of all objects.
- ``"calculator.*"``: all methods of the object ``calculator``.
- ``"calculator.add"``: one method.

An object may have dots in its name, a method cannot: what is behind the last dot is the method. The
targets of administration are alike, but need no dot.
"""

from __future__ import annotations

from collections.abc import Iterable

EVERYTHING = "*"
GROUP = "@"


def check_who(pattern: object) -> None:
    """Raise ``TypeError`` or ``ValueError`` unless this is a name of peers."""
    if not isinstance(pattern, str):
        raise TypeError(f"an ident or a group is a string, not {pattern!r}")
    if pattern in ("", GROUP):
        raise ValueError(f"{pattern!r} names nobody")
    if EVERYTHING in pattern[:-1]:
        raise ValueError(f"{pattern!r}: a star stands only at the end")
    if pattern.startswith(GROUP) and pattern.endswith(EVERYTHING):
        raise ValueError(f"{pattern!r}: the name of a group has no star")


def check_call(pattern: object) -> None:
    """Raise ``TypeError`` or ``ValueError`` unless this is a target of calls."""
    target = _checked(pattern)
    if target != EVERYTHING and "." not in target:
        raise ValueError(
            f"{target!r}: write 'object.method', 'object.*' for all of its methods, or '*'"
        )


def check_admin(pattern: object) -> None:
    """Raise ``TypeError`` or ``ValueError`` unless this is a target of administration."""
    _checked(pattern)


def _checked(pattern: object) -> str:
    if not isinstance(pattern, str):
        raise TypeError(f"a target is a string, not {pattern!r}")
    if not pattern or pattern.startswith(".") or pattern.endswith("."):
        raise ValueError(f"{pattern!r} is not a target: something is empty")
    if pattern != EVERYTHING and EVERYTHING in pattern.removesuffix(".*"):
        raise ValueError(f"{pattern!r}: a star stands alone, or behind the last dot")
    return pattern


def key_of(who: str) -> str:
    """Return the key under which rules for these peers are found.

    A peer may call itself ``"*"`` or ``"@operators"``. So a sign in front says what a key is, and
    an ident is never taken for anything else.
    """
    if who == EVERYTHING or who.startswith(GROUP):
        return who
    return f"^{who[:-1]}" if who.endswith(EVERYTHING) else f"={who}"


def prefix_of(who: str) -> str | None:
    """Return how the idents begin that this names; ``None`` if it is not a prefix."""
    return who[:-1] if len(who) > 1 and who.endswith(EVERYTHING) else None


def keys_of_ident(ident: str, prefixes: Iterable[str]) -> list[str]:
    """Return the keys of all rules for an ident, apart from those for its groups."""
    beginnings = (f"^{prefix}" for prefix in prefixes if ident.startswith(prefix))
    return [EVERYTHING, f"={ident}", *beginnings]
