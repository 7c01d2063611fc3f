from __future__ import annotations

import subprocess

from ._server import ServerNotFound, executable
from ._sql import SqlServer


class MariaDb(SqlServer):
    """Runs the system's MariaDB."""

    name = "mariadb"
    account = "root"
    database = "snakemq"

    def find(self) -> None:
        places = ("/usr/sbin", "/usr/bin", "/usr/libexec")
        self.install_db = executable("mariadb-install-db", *places) or ""
        self.mariadbd = executable("mariadbd", *places) or ""
        self.client = executable("mariadb", *places) or ""
        if not (self.install_db and self.mariadbd and self.client):
            raise ServerNotFound(
                "MariaDB is not installed (apt-get install mariadb-server-core mariadb-client-core)"
            )

    def set_up(self) -> None:
        self.run(
            [
                self.install_db,
                "--no-defaults",
                *self._as_root(),
                f"--datadir={self.folder}/data",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ]
        )

    def command(self) -> list[str]:
        return [
            self.mariadbd,
            "--no-defaults",
            *self._as_root(),
            f"--datadir={self.folder}/data",
            f"--port={self.port}",
            "--bind-address=127.0.0.1",
            f"--socket={self._socket}",
            f"--pid-file={self.folder}/pid",
            "--max-allowed-packet=64M",
            "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=96M",
            "--skip-name-resolve",
            "--innodb-flush-method=fsync",
        ]

    def is_ready(self) -> bool:
        return subprocess.run(self.creation(), capture_output=True, check=False).returncode == 0

    def creation(self) -> list[str]:
        create = f"CREATE DATABASE IF NOT EXISTS {self.database}"
        return [self.client, "--no-defaults", f"--socket={self._socket}", "-uroot", "-e", create]

    @property
    def url(self) -> str:
        return f"mysql+pymysql://root@127.0.0.1:{self.port}/{self.database}"

    @property
    def _socket(self) -> str:
        return f"{self.folder}/s.sock"

    def _as_root(self) -> list[str]:
        return ["--user=root"] if self.account_if_root() else []
