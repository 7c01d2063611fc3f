"""Bandwidth throttle: a link that wraps another link and limits how fast it sends."""

from snakemq._public_home import report_public_home

from ._throttle import Throttle

__all__ = ["Throttle"]

report_public_home(__name__)
