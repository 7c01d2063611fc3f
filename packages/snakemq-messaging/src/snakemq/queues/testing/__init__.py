"""Checks that a storage keeps the contract of :class:`~snakemq.queues.QueuesStorageBase`.

They are for everybody who writes a storage. Run all checks at once::

    check_storage(OpenFrom(MyStorage, "/tmp/{token}.db"), durable=True)

or one by one, with pytest for example::

    @pytest.mark.parametrize("check", STORAGE_CHECKS + DURABILITY_CHECKS)
    def test_conformance(check, tmp_path):
        check(OpenFrom(MyStorage, f"{tmp_path}/{{token}}.db"))

A check takes a function that opens a storage by a token: a new token opens an empty storage, and
the same token after a ``close()`` opens the same storage again. Each check makes up its own tokens,
and raises an ``AssertionError`` that says what is violated.

``DURABILITY_CHECKS`` start a process and kill it. They pickle the function for it: that works for
:class:`OpenFrom`, and for any function of a module that the child can import. These checks are not
for storages in memory.

``INBOX_CHECKS`` are for a storage that is also an :class:`~snakemq.queues.InboxStorage`.

Nothing here needs pytest.
"""

from snakemq._public_home import report_public_home

from ._durability import DURABILITY_CHECKS
from ._identity import IDENTITY_CHECKS
from ._inbox import INBOX_CHECKS
from ._keeping import KEEPING_CHECKS
from ._lifetime import LIFETIME_CHECKS
from ._open import Check, OpenFrom, OpenStorage
from ._paging import PAGING_CHECKS

STORAGE_CHECKS: tuple[Check, ...] = (
    KEEPING_CHECKS + IDENTITY_CHECKS + PAGING_CHECKS + LIFETIME_CHECKS
)
"""The checks for every storage, even one in memory."""


def check_storage(open_storage: OpenStorage, *, durable: bool = False, inbox: bool = False) -> None:
    """Run all checks; those of durability only if ``durable``, those of an inbox only if ``inbox``.

    Raises ``AssertionError`` at the first violation; a note names the check.
    """
    checks = STORAGE_CHECKS
    if durable:
        checks += DURABILITY_CHECKS
    if inbox:
        checks += INBOX_CHECKS
    for check in checks:
        try:
            check(open_storage)
        except Exception as error:
            error.add_note(f"in {check.__name__}: {check.__doc__}")
            raise


__all__ = [
    "DURABILITY_CHECKS",
    "INBOX_CHECKS",
    "STORAGE_CHECKS",
    "Check",
    "OpenFrom",
    "OpenStorage",
    "check_storage",
]

report_public_home(__name__)
