"""The TLS settings: their files, and what the errors of TLS mean."""
