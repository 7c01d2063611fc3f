"""Shared by the suites: scripts in processes of their own, a stack in a thread, interruptions."""
