"""The loop: it sleeps, wakes up, calls timers, and knows nothing of connections."""
