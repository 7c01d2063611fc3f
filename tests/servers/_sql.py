from __future__ import annotations

from abc import abstractmethod

from ._server import Server


class SqlServer(Server):
    """A server with databases, of which the storages use one."""

    database: str
    """The database that the URL names."""

    _databases = 0

    def use_new_database(self) -> None:
        """Make an empty database, which the URL names from now on.

        Tests would otherwise drop each other's tables and create them again under the same name,
        while the server still cleans up behind those that were dropped.
        """
        self._databases += 1
        self.database = f"test_{self._databases}"
        self.run(self.creation())

    @abstractmethod
    def creation(self) -> list[str]:
        """Return the command that creates the database."""
