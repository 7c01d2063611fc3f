from __future__ import annotations

import os
import signal
from contextlib import suppress
from glob import glob
from pathlib import Path

from ._server import ServerNotFound, executable
from ._sql import SqlServer


class PostgreSql(SqlServer):
    """Runs the system's PostgreSQL; if root starts it, with the rights of ``nobody``."""

    name = "postgresql"
    account = "nobody"
    database = "postgres"
    quit_signal = signal.SIGINT
    crash_signal = signal.SIGQUIT  # if it were killed, its children would live on for a while

    def find(self) -> None:
        self.initdb = executable("initdb", "/usr/lib/postgresql/*/bin") or ""
        if not self.initdb:
            raise ServerNotFound("PostgreSQL is not installed (apt-get install postgresql)")
        folder = os.path.dirname(os.path.realpath(self.initdb))
        self.postgres = os.path.join(folder, "postgres")
        self.createdb = os.path.join(folder, "createdb")

    def set_up(self) -> None:
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        self.run([self.initdb, "-D", f"{self.folder}/data", *options])

    def command(self) -> list[str]:
        settings = ["listen_addresses=127.0.0.1", "shared_buffers=32MB", "max_connections=20"]
        settings.append(
            "dynamic_shared_memory_type=mmap"
        )  # in files that are removed with the folder
        options = [word for setting in settings for word in ("-c", setting)]
        place = ["-D", f"{self.folder}/data", "-k", str(self.folder), "-p", str(self.port)]
        return [self.postgres, *place, *options]

    def is_ready(self) -> bool:
        assert self.process is not None
        try:
            lines = (self.folder / "data/postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        # A server that crashes leaves this file behind: line 1 is its pid, line 8 its state.
        return lines[:1] == [str(self.process.pid)] and [s.strip() for s in lines[7:]] == ["ready"]

    def creation(self) -> list[str]:
        place = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres"]
        return [self.createdb, *place, self.database]

    def pids(self) -> list[int]:
        """Return the pids of the server and of its children, which are what answers."""
        pids = super().pids()
        for folder in glob("/proc/[0-9]*"):
            with suppress(OSError):  # it has ended meanwhile
                parent = Path(folder, "stat").read_text().rpartition(")")[2].split()[1]
                if int(parent) == pids[0]:
                    pids.append(int(folder.rpartition("/")[2]))
        return pids

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{self.database}"
