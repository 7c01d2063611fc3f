"""Random pickles: the decoder of RPC agrees with Python's, and refuses without harm."""
