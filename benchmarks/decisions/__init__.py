"""Scripts that measured a decision: ``python -m benchmarks.decisions.NAME FOLDER`` runs one.

``--short`` tries one in a moment, without figures that mean anything; ``tests/bench`` does so.
"""
