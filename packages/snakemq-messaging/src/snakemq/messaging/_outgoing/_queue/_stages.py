"""How far a message of a queue has come: the values of its ``stage``.

Numbers, because they are compared for each message. Everything from :data:`WAITING` on waits, and
everything from :data:`RETURNED` on has been sent before, at least in part.
"""

GONE = 0
IN_FLIGHT = 1
WAITING = 2
FOUND = 3
"""It waits, and an earlier process has left it, which may have sent it."""
ASIDE = 4
"""It waits for a connection to a peer that takes messages of its size."""
PASSED = 5
"""It waits again: it was set aside, and the peer has gone since."""
LARGE = 6
"""It waits for a turn to go out in chunks."""
IN_CHUNKS = 7
"""It has its turn, and its last chunk is not sent yet."""
RETURNED = 8
"""It waits again: it was in flight on a connection that broke, and may have arrived."""
CUT_OFF = 9
"""It waits again: it had its turn on a connection that broke before its last chunk was sent."""
