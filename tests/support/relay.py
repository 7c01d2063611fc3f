"""A relay of TCP connections that holds up and cuts them when a test says so."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from .processes import DEADLINE

BLOCK = 64 * 1024


class Relay:
    """Listens on a free port, and passes connections on to another port of this machine."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._changed = threading.Condition()
        self._left: int | None = None
        """Bytes that may still pass towards the target; ``None``: any number."""
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def pass_only(self, count: int) -> None:
        """Let this many bytes pass towards the target, and hold up the rest."""
        with self._changed:
            self._left = count
            self._changed.notify_all()

    def wait_until_held_up(self) -> None:
        """Wait until that many have passed."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._left == 0, DEADLINE), "nothing is held up"

    def cut(self, then: int | None = None) -> None:
        """End all connections. New ones may pass this many bytes; ``None``: any number."""
        with self._changed:
            self._left = then
            for end in self._open:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            self._open.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """End everything."""
        self.cut()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                with self._changed:
                    self._open += [near, far]
                for ends in ((near, far), (far, near)):
                    threading.Thread(
                        target=self._pass, args=(*ends, ends[1] is far), daemon=True
                    ).start()

    def _pass(self, source: socket.socket, target: socket.socket, is_counted: bool) -> None:
        try:
            while data := source.recv(BLOCK):
                while data:
                    count = self._take(len(data)) if is_counted else len(data)
                    target.sendall(data[:count])
                    data = data[count:]
        except OSError:
            pass  # it was cut
        finally:
            for end in (source, target):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            source.close()

    def _take(self, wanted: int) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._left != 0)
            if self._left is None:
                return wanted
            count = min(wanted, self._left)
            self._left -= count
            self._changed.notify_all()
            return count
