"""How far a message of a queue has come: the values of its ``stage``.

Numbers, because they are compared for each message. Everything from :data:`WAITING` on waits.
"""

GONE = 0
IN_FLIGHT = 1
WAITING = 2
RETURNED = 3
"""It waits again: it was in flight on a connection that broke."""
ASIDE = 4
"""It waits for a connection to a peer that takes messages of its size."""
PASSED = 5
"""It waits again: it was set aside, and the peer has gone since."""
LARGE = 6
"""It waits for a turn to go out in chunks."""
IN_CHUNKS = 7
"""It has its turn, and its last chunk is not sent yet."""
