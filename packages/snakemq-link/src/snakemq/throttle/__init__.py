"""Bandwidth throttle: a link that wraps another link and sends no faster than it is told."""

from ._throttle import Throttle

__all__ = ["Throttle"]
