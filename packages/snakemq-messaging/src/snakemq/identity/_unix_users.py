"""The users of processes on the same machine."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from snakemq.exceptions import NotProven
from snakemq.link import PeerCredentials

from ._identity import Identity, Proof


class UnixUsers:
    """Admits a peer whose process belongs to the user of its ident. Only for Unix sockets on Linux:
    there the system says which user has connected, or listens, at the other end.

    ``uids``: for each ident, the number of its user. If several idents have the same user, each
    of its processes can be each of them. A process of the user ``root`` can become any of these
    users.

    Raises ``TypeError`` and ``ValueError`` for something that is not the number of a user, and
    ``ValueError`` on other systems. The number of the user ``nobody``, 65534, proves nothing and is
    refused: it stands for all users that this process cannot see, in other containers for example.
    """

    def __init__(self, uids: Mapping[str, int]) -> None:
        if sys.platform != "linux":
            raise ValueError("only Linux tells which user is at the other end of a Unix socket")
        for ident, uid in uids.items():
            if isinstance(uid, bool) or not isinstance(uid, int):
                raise TypeError(f"the user of {ident!r} must be a number, not {uid!r}")
            if uid < 0 or uid == _overflow_uid():
                raise ValueError(f"the user of {ident!r} cannot be {uid}, which proves nothing")
        self._uids = dict(uids)

    def check(self, claimed: str, connection: PeerCredentials) -> Identity:
        """See :meth:`Authenticator.check`."""
        if connection.unix is None:
            raise NotProven("it has not come over a Unix socket")
        uid = connection.unix.uid
        if self._uids.get(claimed) != uid:
            raise NotProven("its process belongs to another user")
        return Identity(claimed, proven=Proof.UNIX_USER, names=frozenset((f"uid:{uid}",)))


def _overflow_uid() -> int:
    """Return the number that stands for users of other namespaces."""
    try:
        with open("/proc/sys/kernel/overflowuid", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 65534
