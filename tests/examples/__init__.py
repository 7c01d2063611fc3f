"""The programs in examples/ run and print what they promise."""
