"""What this stack says about itself to its peers."""

PRODUCT = "snakemq"

VERSION = "2.1.0"
"""That of the package snakemq-messaging. To ask for its metadata would take longer than to import
the whole stack; a test compares the two."""
