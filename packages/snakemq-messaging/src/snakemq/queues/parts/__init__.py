"""Parts of which durable storages are made.

:class:`OwnerClock` and :func:`ttl_left`: ttl that is counted without rewriting what is stored.
:class:`GroupCommit`: threads that push at the same time share a commit.
"""

from .._clock import OwnerClock, ttl_left
from ._group import GroupCommit

__all__ = ["GroupCommit", "OwnerClock", "ttl_left"]
