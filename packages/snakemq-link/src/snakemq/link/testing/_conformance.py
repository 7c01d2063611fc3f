"""The checks that every link passes."""

from __future__ import annotations

from collections.abc import Callable

from ._connection_checks import CONNECTION_CHECKS
from ._data_checks import DATA_CHECKS
from ._link_pair import LinkCheck, LinkPair
from ._loop_checks import LOOP_CHECKS
from ._pause_checks import PAUSE_CHECKS

LINK_CHECKS: tuple[LinkCheck, ...] = (
    *CONNECTION_CHECKS,
    *DATA_CHECKS,
    *PAUSE_CHECKS,
    *LOOP_CHECKS,
)
"""Functions ``check(pair)`` that raise ``AssertionError``; their names say what they check.

For one test each: ``@pytest.mark.parametrize("check", LINK_CHECKS, ids=lambda c: c.__name__)``.
"""


def check_link(make_pair: Callable[[], LinkPair]) -> None:
    """Check that an implementation of :class:`~snakemq.link.LinkInterface` does all that it must.

    ``make_pair`` gives a fresh :class:`LinkPair` for each of the :data:`LINK_CHECKS`.
    Raises ``AssertionError`` at the first one that fails.
    """
    for check in LINK_CHECKS:
        pair = make_pair()
        try:
            check(pair)
        except AssertionError as exc:
            raise AssertionError(f"{check.__name__}: {exc}") from exc
        finally:
            pair.close()
