"""The parts that durable storages are made of.

A storage may use any of them, or none. snakeMQ's own storages consist of a back end and these:

*Calling the back end*

:class:`Gate` lets one call through at a time, as long as the storage is usable.
:class:`ServerGate` does so for a server, which may stop answering.
A gate consists of a :class:`Turn`, which one thread has at a time even when signal handlers push,
and a :class:`Border`, which turns what the back end raises into a ``StorageError``:
an :data:`Explain` says by a :class:`Failure` what an exception means.
:func:`never_close` keeps a connection open whose closing would do harm.

*Pushing*

:class:`Pushes` lets threads and signal handlers push.
:class:`GroupCommit` lets threads that push at the same time share a commit.
:class:`Positions` counts numbers that ascend in the order of pushes.
:class:`Leftovers` deletes what a push that raised may have left behind.

*Reading*

:class:`OwnerClock` and :func:`ttl_left` count ttl without rewriting what is stored.
:func:`fill_page` reads as many messages as a page holds.
:func:`read_headers` reads the headers of a message that were stored as bytes.
:exc:`UnreadableItem` says that something is not a message, :func:`sql_type` what it is instead.

*Opening*

:func:`in_use` and :func:`too_new` say why a storage is not opened.
:func:`read_v16_message`, :func:`ttl_of_v16` and :func:`free_name` help to take over what snakeMQ
1.6 has stored, and to name its backup.
"""

from snakemq._public_home import report_public_home

from .._clock import OwnerClock, ttl_left
from .._turn import Turn
from ._border import Border, Explain, Failure
from ._gate import Gate, ServerGate
from ._group import GroupCommit
from ._headers import read_headers
from ._never_close import never_close
from ._page import fill_page
from ._positions import Leftovers, Positions
from ._pushes import Pushes
from ._refusals import in_use, too_new
from ._unreadable import UnreadableItem, sql_type
from ._v16 import free_name, read_v16_message, ttl_of_v16

__all__ = [
    "Border",
    "Explain",
    "Failure",
    "Gate",
    "GroupCommit",
    "Leftovers",
    "OwnerClock",
    "Positions",
    "Pushes",
    "ServerGate",
    "Turn",
    "UnreadableItem",
    "fill_page",
    "free_name",
    "in_use",
    "never_close",
    "read_headers",
    "read_v16_message",
    "sql_type",
    "too_new",
    "ttl_left",
    "ttl_of_v16",
]

report_public_home(__name__)
