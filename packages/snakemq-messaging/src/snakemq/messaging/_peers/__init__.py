"""The peers that are connected: introductions, contests for an ident, keep-alive, refusals."""
