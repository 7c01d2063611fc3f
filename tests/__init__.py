"""Tests that need more than one package, real processes or servers, a foreign snakeMQ 1.6."""
