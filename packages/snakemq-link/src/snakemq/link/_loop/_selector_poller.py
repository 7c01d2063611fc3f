"""The poller of systems without epoll."""

from __future__ import annotations

import selectors

from ._poller import READ, WRITE, Handler


class SelectorPoller:
    """A poller for any system that Python runs on."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def register(self, fd: int, events: int, handler: Handler) -> None:
        self._selector.register(fd, _OF_SELECTORS[events], handler)

    def modify(self, fd: int, events: int, handler: Handler) -> None:
        self._selector.modify(fd, _OF_SELECTORS[events], handler)

    def unregister(self, fd: int) -> None:
        self._selector.unregister(fd)

    def poll(self, timeout: float | None) -> list[tuple[Handler, int]]:
        return [(key.data, _OURS[mask]) for key, mask in self._selector.select(timeout)]

    def fileno(self) -> int:
        fileno = getattr(self._selector, "fileno", None)
        if fileno is None:
            raise OSError(f"a {type(self._selector).__name__} has no file descriptor")
        return int(fileno())

    def __len__(self) -> int:
        return len(self._selector.get_map())

    def close(self) -> None:
        self._selector.close()


_OF_SELECTORS = {
    READ: selectors.EVENT_READ,
    WRITE: selectors.EVENT_WRITE,
    READ | WRITE: selectors.EVENT_READ | selectors.EVENT_WRITE,
}
_OURS = {theirs: ours for ours, theirs in _OF_SELECTORS.items()}
