"""The benchmark suite and the measuring scripts work; no test measures time."""
