"""Runs measurements: plans them, starts their sides in processes, keeps their figures."""
