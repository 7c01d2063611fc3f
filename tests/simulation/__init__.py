"""Whole peers on a network in memory, under a random schedule of everything that can go wrong.

One seed is one exact run. ``python -m tests.simulation SEED`` replays one and tells what happened.
"""
