"""Scripts that answer one question each, with a table; ``benchmarks/README.md`` lists them."""
