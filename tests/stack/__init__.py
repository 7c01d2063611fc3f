"""The layers put together in one process, on a network in memory."""
