"""One owner at a time, by a document whose deadline the owner keeps moving forward."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError, PyMongoError
from pymongo.write_concern import WriteConcern

from ._documents import Document


class Lost(Exception):
    """Another storage object has become the owner."""


class InUse(Exception):
    """Another storage object is the owner. The text says which."""


class Lease:
    """The ownership of a storage, valid for ``seconds`` and renewed every third of that.

    MongoDB has no lock that ends with a connection. All times are the server's. An owner whose
    process is dead is replaced at once if it ran on the same Linux machine, otherwise when its time
    is up.

    ``reading``: reads the owners' clock, which is written down at each renewal.
    """

    def __init__(
        self, state: Collection[Document], seconds: float, reading: Callable[[], float]
    ) -> None:
        self._state = state.with_options(write_concern=WriteConcern(w=1))
        self._durable = state
        self._milliseconds = round(seconds * 1000)
        self._seconds = seconds
        self._reading = reading
        self._token = uuid4().hex
        self._renewed = 0.0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.is_lost = False

    def acquire(self, timeout: float) -> None:
        """Become the owner. Raises :exc:`InUse` after ``timeout`` seconds."""
        with suppress(DuplicateKeyError):
            self._durable.insert_one({"_id": "owner", "token": None, "seconds": 0.0})
        deadline = time.monotonic() + timeout
        while not self._try():
            owner = self._state.find_one({"_id": "owner"}) or {}
            if _is_dead(owner.get("process")) and self._try(owner.get("token")):
                return
            if time.monotonic() >= deadline:
                raise InUse(f"process {owner.get('pid')} on {owner.get('host')}")
            time.sleep(0.05)

    def keep(self) -> None:
        """Start a thread that keeps renewing the lease."""
        self._thread = threading.Thread(
            target=self._keep_renewing, name="snakemq-mongodb-lease", daemon=True
        )
        self._thread.start()

    def ensure(self) -> None:
        """Make sure before a call that we are still the owner. Raises :exc:`Lost`."""
        if self.is_lost:
            raise Lost
        if time.monotonic() - self._renewed > self._seconds / 2:
            self.renew()  # the server was away, or this process stood still

    def renew(self) -> None:
        """Renew the lease, even an expired one if nobody else took it. Raises :exc:`Lost`."""
        if self.is_lost:
            raise Lost
        began = time.monotonic()
        changes = {"until": self._until(), "seconds": self._reading()}
        mine = {"_id": "owner", "token": self._token}
        if not self._state.update_one(mine, [{"$set": changes}]).matched_count:
            self.is_lost = True
            raise Lost
        self._renewed = began

    def release(self) -> None:
        """Let the next owner in at once. If this raises (what pymongo raises), it has to wait."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        changes = {"token": None, "seconds": self._reading()}
        self._durable.update_one({"_id": "owner", "token": self._token}, {"$set": changes})

    def _try(self, instead_of: str | None = None) -> bool:
        is_free: Document = {"$or": [{"token": None}, {"$expr": {"$lte": ["$until", "$$NOW"]}}]}
        if instead_of is not None:
            is_free = {"token": instead_of}
        began = time.monotonic()
        mine = {
            "token": self._token,
            "until": self._until(),
            "pid": os.getpid(),
            "host": {"$literal": _host()},
            "process": {"$literal": _identity(os.getpid())},
        }
        result = self._durable.update_one({"_id": "owner"} | is_free, [{"$set": mine}])
        self._renewed = began
        return result.matched_count == 1

    def _until(self) -> Document:
        return {"$add": ["$$NOW", self._milliseconds]}

    def _keep_renewing(self) -> None:
        while not self._ended.wait(self._seconds / 3):
            try:
                self.renew()
            except Lost:
                return
            except PyMongoError:
                continue  # the next call of the storage will raise it


def _host() -> str:
    return os.uname().nodename if hasattr(os, "uname") else ""


def _identity(pid: int) -> list[Any] | None:
    """Return what tells a process from all others, past and future; ``None`` except on Linux.

    It consists of the id of the machine's boot, the namespace of process ids, the process id, and
    the time at which the process started.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        with open(f"/proc/{pid}/stat") as file:
            started = file.read().rpartition(")")[2].split()[19]
        return [boot, os.readlink("/proc/self/ns/pid"), pid, started]
    except (OSError, IndexError):
        return None


def _is_dead(process: Any) -> bool:
    here = _identity(os.getpid())
    if not isinstance(process, list) or len(process) != 4 or here is None:
        return False
    if process[:2] != here[:2] or not isinstance(process[2], int) or process[2] <= 0:
        return False
    try:
        os.kill(process[2], 0)  # only asks
    except ProcessLookupError:
        return True
    except OSError:
        pass  # it is alive, but belongs to another user
    now = _identity(process[2])
    return now is not None and now != process  # another process has the id meanwhile
