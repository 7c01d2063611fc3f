"""Who is connected, and as whom: introductions, contests for an ident, keep-alive, refusals."""
