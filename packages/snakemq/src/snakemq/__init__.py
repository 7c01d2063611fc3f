"""snakeMQ: brokerless messaging between Python processes.

Begin with :class:`Peer`: one object that listens, connects, sends and receives. It and the layers
below it are modules of this package, each from a distribution of its own: :mod:`snakemq.link`,
:mod:`snakemq.packeter`, :mod:`snakemq.messaging`, :mod:`snakemq.rpc`, :mod:`snakemq.peer`,
:mod:`snakemq.storage`.
This file belongs to the distribution ``snakemq`` alone; why is written in ``docs/adr/``.
"""

# Find the layers wherever they are installed: a regular package would see only its own folder.
__path__ = __import__("pkgutil").extend_path(__path__, __name__)

import logging
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from snakemq.peer import Peer

__version__ = "2.1.0"

#: The generation of the layers that this package goes with. snakeMQ 1.6 does not have it, and
#: that is how :mod:`snakemq.link` notices a 1.6 that it must not be mixed with.
SNAKEMQ_LAYERS = 2

__all__ = ["Peer", "__version__", "init_logging"]

_handler: logging.Handler | None = None


def init_logging(stream: TextIO | None = None) -> None:
    """Show what snakeMQ logs: attach a handler to the logger ``snakemq``.

    ``stream``: where to write, as for :class:`logging.StreamHandler`; standard output by default.

    The level of the logger is set to ``CRITICAL``, as snakeMQ 1.6 does: choose yours afterwards,
    ``logging.getLogger("snakemq").setLevel(logging.DEBUG)``. Calling it again replaces the
    handler of the call before, so no line is ever written twice.
    """
    global _handler
    logger = logging.getLogger("snakemq")
    if _handler is not None:
        logger.removeHandler(_handler)
    # 1.6 passed None on to StreamHandler, which means standard error. Its documentation has always
    # said standard output, and that is what is kept.
    _handler = logging.StreamHandler(sys.stdout if stream is None else stream)
    _handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logger.addHandler(_handler)
    logger.setLevel(logging.CRITICAL)


def __getattr__(name: str) -> object:
    # Every layer imports this module first, and must not pay for what is above it.
    if name == "Peer":
        from snakemq.peer import Peer

        return Peer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
