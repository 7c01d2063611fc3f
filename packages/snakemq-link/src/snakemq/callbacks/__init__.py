"""Callbacks: an event to which any number of callables can be joined."""

from snakemq._public_home import report_public_home

from ._callback import Callback
from ._check import check_callback
from ._event import Event

__all__ = ["Callback", "Event", "check_callback"]

report_public_home(__name__)
