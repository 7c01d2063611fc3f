"""What the pages in docs/ say is true, and their examples run."""
