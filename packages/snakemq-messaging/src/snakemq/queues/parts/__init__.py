"""Parts of which durable storages are made.

:class:`OwnerClock` and :func:`ttl_left`: ttl that is counted without rewriting what is stored.
:class:`GroupCommit`: threads that push at the same time share a commit.
:class:`Turn`: one call of a back end at a time, although signal handlers may push.
"""

from snakemq._public_home import report_public_home

from .._clock import OwnerClock, ttl_left
from .._turn import Turn
from ._group import GroupCommit

__all__ = ["GroupCommit", "OwnerClock", "Turn", "ttl_left"]

report_public_home(__name__)
