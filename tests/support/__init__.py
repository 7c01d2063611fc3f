"""Shared by the suites: scripts in processes of their own, and a stack in a thread."""
