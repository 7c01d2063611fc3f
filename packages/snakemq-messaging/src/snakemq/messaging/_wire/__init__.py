"""The conversation of one connection: frames in, events and frames out. No timer, no queue."""
