"""The link: reconnecting TCP, TLS and Unix socket connections, timers, and the loop.

The lowest layer. It moves bytes and knows nothing of packets or messages.
"""

import sys as _sys

_namespace = _sys.modules[__name__.partition(".")[0]]
if getattr(_namespace, "__file__", None) and not hasattr(_namespace, "SNAKEMQ_LAYERS"):
    # A regular package that is not ours: snakeMQ 1.6 is still installed beside this layer, and the
    # two would be mixed module by module.
    raise ImportError(
        "snakemq-link is installed beside snakeMQ 1.6, which cannot work. "
        "Run: pip install -U snakemq"
    )

from snakemq._public_home import report_public_home  # noqa: E402

from ._abilities import Abilities  # noqa: E402
from ._connections._admission import MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS  # noqa: E402
from ._connections._socket import LinkSocket  # noqa: E402
from ._credentials import CertificateCheck, PeerCredentials, UnixCredentials  # noqa: E402
from ._dialling._address import Address  # noqa: E402
from ._interface import (  # noqa: E402
    BytesLike,
    CredentialsLink,
    CrowdedLink,
    EndingLink,
    IdleLink,
    LendingLink,
    LinkInterface,
    ProgressLink,
    ReportingLink,
    SendsAtOnce,
    TimedLink,
    TimerHandle,
    check_send,
    no_connection,
)
from ._link import (  # noqa: E402
    CONNECT_TIMEOUT,
    HANDSHAKE_TIMEOUT,
    LISTEN_BACKLOG,
    RECONNECT_INTERVAL,
    RECV_BLOCK_SIZE,
    TCP_KEEPALIVE,
    Link,
)
from ._log import keep_printable  # noqa: E402
from ._tls._config import SSLConfig  # noqa: E402

__all__ = [
    "CONNECT_TIMEOUT",
    "HANDSHAKE_TIMEOUT",
    "LISTEN_BACKLOG",
    "MAX_CONNECTIONS",
    "MAX_CONNECTIONS_PER_ADDRESS",
    "RECONNECT_INTERVAL",
    "RECV_BLOCK_SIZE",
    "TCP_KEEPALIVE",
    "Abilities",
    "Address",
    "BytesLike",
    "CertificateCheck",
    "CredentialsLink",
    "CrowdedLink",
    "EndingLink",
    "IdleLink",
    "LendingLink",
    "Link",
    "LinkInterface",
    "LinkSocket",
    "PeerCredentials",
    "ProgressLink",
    "ReportingLink",
    "SSLConfig",
    "SendsAtOnce",
    "TimedLink",
    "TimerHandle",
    "UnixCredentials",
    "check_send",
    "keep_printable",
    "no_connection",
]

keep_printable("snakemq.link")
report_public_home(__name__)
