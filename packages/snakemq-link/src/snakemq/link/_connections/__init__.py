"""Established connections: their table, their sockets, and how many there may be."""
