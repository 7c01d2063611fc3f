"""Real processes, real files, real sockets, and kill -9.

A sender and a receiver talk through a proxy that cuts connections, and both are killed at random
moments. ``python -m tests.chaos`` does it and counts; ``nox -s chaos`` does it at full length.
"""
