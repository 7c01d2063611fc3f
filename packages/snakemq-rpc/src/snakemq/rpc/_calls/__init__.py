"""The calling side: proxies, calls that wait, their outcomes."""
