"""Connections that are made: their table, their sockets, and how many there may be."""
