"""Callbacks: an event to which any number of callables can be joined."""

from ._callback import Callback

__all__ = ["Callback"]
