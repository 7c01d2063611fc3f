"""Giving up on a server that does not answer; the drivers would wait forever."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Silent(Exception):
    """The server did not answer in time. The text says how long we waited."""


class Watchdog:
    """Shuts down a connection that waits for longer than ``seconds``, or at most twice that.

    Its own thread does it, which sleeps while there is nothing to watch. It costs 2 µs for each
    statement. A time limit in the server would not help against a server that stands still.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._mutex = threading.Lock()
        self._connection: socket.socket | None = None
        self._deadline: float | None = None
        self._bitten = False
        self._is_asleep = False
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def watch(self, connection: socket.socket | None, extra: float = 0.0) -> Iterator[None]:
        """Watch the ``with`` block; raise :exc:`Silent` if it fails because it took too long.

        ``connection``: ``None`` means that nothing can be shut down. ``extra``: how many seconds
        more to wait.
        """
        if connection is None:
            yield
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="snakemq-sql-watchdog")
            self._thread.daemon = True
            self._thread.start()
        self._bitten, self._connection = False, connection
        self._deadline = time.monotonic() + self._seconds + extra
        if self._is_asleep:
            self._wake.set()
        try:
            yield
        except Exception as error:
            if self._bitten:
                raise Silent(f"no answer within {self._seconds + extra:.3g} s") from error
            raise
        finally:
            with self._mutex:
                self._deadline = None

    def end(self) -> None:
        """End the thread. Idempotent."""
        self._ended.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            deadline = self._deadline
            if deadline is None:
                self._is_asleep = True
                if self._deadline is None:  # if it is set from now on, so is _wake
                    self._wake.wait()
                self._is_asleep = False
                self._wake.clear()
            elif (left := deadline - time.monotonic()) > 0:
                # Not longer than that: the next deadline may come before this one.
                self._ended.wait(min(left, self._seconds))
            else:
                self._bite(deadline)

    def _bite(self, deadline: float) -> None:
        with self._mutex:
            if self._deadline == deadline and self._connection is not None:
                self._bitten, self._deadline = True, None
                with suppress(OSError):  # it is already closed
                    self._connection.shutdown(socket.SHUT_RDWR)


def socket_of(driver: Any) -> socket.socket | None:
    """Return our own descriptor for a driver's connection, if the driver tells its descriptor."""
    # psycopg and mysqlclient have a method, PyMySQL has a socket.
    connection = driver if hasattr(driver, "fileno") else getattr(driver, "_sock", None)
    fileno = getattr(connection, "fileno", None)
    if fileno is None:
        return None
    return socket.fromfd(fileno(), socket.AF_INET, socket.SOCK_STREAM)
