"""Peers that lie, flood, stall or send garbage harm only their own connection."""
