"""Turns figures into tables, pictures, verdicts on the goals, and profiles."""
