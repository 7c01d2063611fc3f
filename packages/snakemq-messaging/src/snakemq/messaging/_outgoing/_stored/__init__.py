"""The part of the outgoing queues that is in a storage: read page by page, swept, deleted."""
