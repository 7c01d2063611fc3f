from __future__ import annotations

import os
import socket
from importlib.util import find_spec

from ._server import Server, ServerNotFound, executable


class MongoDb(Server):
    """Runs mongod, either the system's or that of ``requirements.txt`` beside this file.

    ``replica_set``: the name of the replica set that it is a member of. The test initiates the set.
    """

    name = "mongodb"

    def __init__(self, replica_set: str = "") -> None:
        self.replica_set = replica_set
        super().__init__()

    def find(self) -> None:
        spec = find_spec("fiftyone")
        places = (spec.submodule_search_locations if spec else None) or ()
        folders = [f"{place}/db/bin" for place in places]
        self.mongod = executable("mongod", *folders) or ""
        if not self.mongod:
            raise ServerNotFound(
                "mongod is not installed (pip install -r tests/servers/requirements.txt)"
            )

    def set_up(self) -> None:
        os.mkdir(f"{self.folder}/data")

    def command(self) -> list[str]:
        replica_set = ["--replSet", self.replica_set, "--oplogSize", "64"]
        return [
            self.mongod,
            *("--dbpath", f"{self.folder}/data"),
            *("--port", str(self.port)),
            *("--bind_ip", "127.0.0.1"),
            "--nounixsocket",
            *("--wiredTigerCacheSizeGB", "0.25"),
            *("--wiredTigerEngineConfigString", "log=(file_max=8MB)"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *(replica_set if self.replica_set else []),
        ]

    def is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1):
                return True
        except OSError:
            return False

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/?directConnection=true"
