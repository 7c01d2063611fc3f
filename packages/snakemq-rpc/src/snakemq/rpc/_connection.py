from __future__ import annotations

from snakemq.exceptions import NoConnection
from snakemq.messaging import Messaging


def is_open(messaging: Messaging, conn_id: str) -> bool:
    """Is a connection that ``on_connect`` reports still there?

    A callback that was called before may have closed it. Then ``on_disconnect`` has been called
    already, and who takes the peer for connected now does so for ever.
    """
    try:
        messaging.packeter.get_unsent_size(conn_id)
    except NoConnection:
        return False
    return True
