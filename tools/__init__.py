"""What noxfile.py does to the packages as a whole. Part of no distribution."""
