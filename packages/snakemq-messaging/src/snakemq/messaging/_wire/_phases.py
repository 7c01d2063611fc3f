"""The life of a connection, in one table: what is heard in which phase, and which phase follows.

Nothing else changes a phase. What is not in the table follows one of two rules. A frame that its
phase does not list is ignored, as 1.6 does it, so that the protocol can grow. A decision of this
side that its phase does not list is a fault of this code, and raises :exc:`WrongPhase`.
"""

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple


class Phase(Enum):
    __hash__ = object.__hash__  # see Event

    GREETING = "greeting"
    """The peer introduces itself."""
    PROVING = "proving"
    """The peer has claimed an ident, and the authenticator is asked whether it is that peer. Lasts
    for one call. Before it is over, nobody else is affected: not the owner of the ident either."""
    CLAIMING = "claiming"
    """The ident is proven, and it is still open whether another connection has it. Lasts for one
    call."""
    CONTESTING = "contesting"
    """Another connection has the ident, and is asked for a sign of life."""
    CHECKING = "checking"
    """The connection owns the ident, and the callbacks of ``on_connect`` are being called."""
    ADMITTED = "admitted"
    """Messages come and go. The first phase in which any may leave."""
    TURNED_AWAY = "turned away"
    """The peer is told why, and not heard any more."""
    CLOSED = "closed"


TURNED_AWAY, CLOSED = Phase.TURNED_AWAY, Phase.CLOSED
"""For the hot paths: to look up the member of an enum takes 0.1 µs in Python 3.11."""


class Event(Enum):
    """What happens to a connection: a frame has come, or this side has decided something."""

    # That of Enum is a function in Python, and a frame needs three: 0.3 µs.
    __hash__ = object.__hash__

    VERSION = "protocol version"
    INCOMPATIBLE = "incompatible protocol"
    FEATURES = "features"
    IDENTIFICATION = "identification"
    MESSAGE = "message"
    PING = "ping"
    ACK = "acknowledgement"
    REFUSED = "refused"
    NUMBER = "connection number"
    REJECTED = "rejected"
    PART = "head, chunk, abort"
    PLACE = "place"
    ARRIVED = "chunks arrived"
    EMPTY = "empty frame"
    OTHER = "any other frame"

    IDENT_IS_PROVEN = "the ident is proven, or there is no authenticator"
    IDENT_IS_FREE = "nobody has the ident"
    IDENT_IS_TAKEN = "another connection has the ident"
    CONTEST_IS_WON = "that connection has ended"
    CHECKS_HAVE_PASSED = "all callbacks of `on_connect` have returned"
    OTHER_VERSION = "the peer speaks another version"
    END = "the connection ends"


FRAMES = (
    Event.VERSION,
    Event.INCOMPATIBLE,
    Event.FEATURES,
    Event.IDENTIFICATION,
    Event.MESSAGE,
    Event.PING,
    Event.ACK,
    Event.REFUSED,
    Event.NUMBER,
    Event.REJECTED,
    Event.PART,
    Event.PLACE,
    Event.ARRIVED,
    Event.EMPTY,
    Event.OTHER,
)
"""What the peer causes; the other events are decided here."""


class Act(Enum):
    """What this side does with a frame."""

    READ = "read"
    HOLD = "held back"
    """Read when the connection is admitted."""
    REJECT = "breaks the rules"


class Step(NamedTuple):
    """What an event leads to. ``None``: no act, or no change of phase."""

    act: Act | None = None
    phase: Phase | None = None


READ, HOLD, REJECT = Step(Act.READ), Step(Act.HOLD), Step(Act.REJECT)
END = Step(phase=Phase.CLOSED)

TABLE: Mapping[Phase, Mapping[Event, Step]] = {
    Phase.GREETING: {
        Event.VERSION: READ,
        Event.INCOMPATIBLE: READ,
        Event.FEATURES: READ,
        Event.IDENTIFICATION: Step(Act.READ, Phase.PROVING),
        Event.MESSAGE: REJECT,
        Event.PING: READ,
        Event.REFUSED: READ,
        Event.EMPTY: REJECT,
        Event.OTHER_VERSION: Step(phase=Phase.TURNED_AWAY),
        Event.END: END,
    },
    Phase.PROVING: {
        Event.IDENT_IS_PROVEN: Step(phase=Phase.CLAIMING),
        Event.END: END,
    },
    Phase.CLAIMING: {
        Event.IDENT_IS_FREE: Step(phase=Phase.CHECKING),
        Event.IDENT_IS_TAKEN: Step(phase=Phase.CONTESTING),
        Event.END: END,
    },
    Phase.CONTESTING: {
        **dict.fromkeys(FRAMES, HOLD),
        Event.PING: READ,  # in a contest of the peer's this connection may be the owner
        Event.CONTEST_IS_WON: Step(phase=Phase.CHECKING),
        Event.END: END,
    },
    Phase.CHECKING: {
        Event.CHECKS_HAVE_PASSED: Step(phase=Phase.ADMITTED),
        Event.END: END,
    },
    Phase.ADMITTED: {
        Event.VERSION: READ,
        Event.INCOMPATIBLE: READ,
        Event.MESSAGE: READ,
        Event.PING: READ,
        Event.ACK: READ,
        Event.REFUSED: READ,
        Event.NUMBER: READ,
        Event.REJECTED: READ,
        Event.PART: READ,
        Event.PLACE: READ,
        Event.ARRIVED: READ,
        Event.EMPTY: REJECT,
        Event.OTHER_VERSION: Step(phase=Phase.TURNED_AWAY),
        Event.END: END,
    },
    Phase.TURNED_AWAY: {Event.END: END},
    Phase.CLOSED: {},
}


class WrongPhase(RuntimeError):
    """This side has decided something that does not belong to the phase of a connection."""


def decide(phase: Phase, event: Event) -> Phase:
    """Return the phase that follows a decision of this side. Raises :exc:`WrongPhase`."""
    step = TABLE[phase].get(event)
    if step is None or step.phase is None:
        raise WrongPhase(f"{event.value!r} in the phase {phase.value!r}")
    return step.phase
