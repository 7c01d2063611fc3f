"""Parts of which durable storages are made.

A storage may use any of them, and none. Those of snakeMQ consist of a back end and these:

*The way to the back end*

:class:`Gate`: one call at a time, as long as the storage is usable.
:class:`ServerGate`: the same for a server, which may stop answering. They consist of
:class:`Turn`: one thread at a time, although signal handlers may push, and
:class:`Border`: what the back end raises becomes a ``StorageError``, as an :data:`Explain` says
by a :class:`Failure`. :func:`never_close`: for a connection whose closing would do
harm.

*Pushing*

:class:`Pushes`: threads and signal handlers push. It consists of a gate and
:class:`GroupCommit`: threads that push at the same time share a commit, and
:class:`Positions`: numbers that ascend in the order of pushes.
:class:`Leftovers`: what a push that raised may have left behind is deleted.

*Reading*

:class:`OwnerClock` and :func:`ttl_left`: ttl is counted without rewriting what is stored.
:func:`fill_page`: as many messages as a page holds.
:exc:`UnreadableItem`: something is not a message; :func:`sql_type` says what it is instead.

*Opening*

:func:`in_use` and :func:`too_new`: why a storage is not opened.
:func:`read_v16_message`, :func:`ttl_of_v16` and :func:`free_name`: taking over what snakeMQ 1.6 has
stored, and naming its backup.
"""

from snakemq._public_home import report_public_home

from .._clock import OwnerClock, ttl_left
from .._turn import Turn
from ._border import Border, Explain, Failure
from ._gate import Gate, ServerGate
from ._group import GroupCommit
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
    "read_v16_message",
    "sql_type",
    "too_new",
    "ttl_left",
    "ttl_of_v16",
]

report_public_home(__name__)
