"""The queue of one peer, pure: it is told the time, and what the storage has."""
