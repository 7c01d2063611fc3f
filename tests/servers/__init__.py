"""Real database servers on the loopback interface, for tests and benchmarks.

Each server has its own folder, its own port, and settings for small machines. If a server cannot be
found, its tests are skipped with the reason; in CI they fail.
"""

from ._mariadb import MariaDb
from ._mongodb import MongoDb
from ._postgresql import PostgreSql
from ._server import Server, ServerNotFound, ended_by_themselves, executable, free_port
from ._sql import SqlServer

__all__ = [
    "MariaDb",
    "MongoDb",
    "PostgreSql",
    "Server",
    "ServerNotFound",
    "SqlServer",
    "ended_by_themselves",
    "executable",
    "free_port",
]
