"""How connections come about: addresses, connectors that dial again and again, and listeners."""
