"""Objects to bytes and back, with peers that are not trusted."""
