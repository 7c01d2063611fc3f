"""Real database servers on the loopback, for tests and benchmarks; nothing of the project is here.

Each lives in a folder of its own, on a port of its own, with settings for small machines. Where a
server cannot be found, a laptop skips its tests with the reason, and CI fails.
"""

from ._mariadb import MariaDb
from ._mongodb import MongoDb
from ._postgresql import PostgreSql
from ._server import Server, ServerNotFound, executable, free_port

__all__ = [
    "MariaDb",
    "MongoDb",
    "PostgreSql",
    "Server",
    "ServerNotFound",
    "executable",
    "free_port",
]
