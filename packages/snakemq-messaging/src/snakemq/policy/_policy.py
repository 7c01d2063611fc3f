"""The question whether a peer may do something."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias, runtime_checkable

from snakemq.identity import Identity

Action: TypeAlias = Literal["message", "call", "admin"]
"""What a peer wants:

- ``"message"``: to have its messages passed to callbacks. The target is empty.
- ``"call"``: to call a method, or send a signal to it. The target is ``"object.method"``.
- ``"admin"``: to look into this process or change something. The target is the name of the command.

Requests and replies of remote calls are messages too, but only the action ``"call"`` decides about
requests, and a reply comes through if a call waits for it.
"""


@runtime_checkable
class Policy(Protocol):
    """Decides what each peer may do. :class:`Rules` is one; write your own for anything else."""

    def allows(self, identity: Identity, action: Action, target: str, /) -> bool:
        """Return True if the peer may do this; anything else refuses it.

        This is called in the thread of the loop, for each request of a remote call and each batch
        of messages, so it must answer from memory. What it raises is logged, and refuses, too.
        """


@runtime_checkable
class GroupPolicy(Policy, Protocol):
    """A policy that knows groups of idents, which methods marked for a group need."""

    def is_member(self, identity: Identity, group: str, /) -> bool:
        """Return whether the peer is in the group, whose name has no ``@`` here.

        Called like :meth:`allows`. Nobody is in a group that does not exist.
        """
