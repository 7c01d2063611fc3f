"""Our packages against the genuine snakeMQ 1.6, which has an environment of its own."""
