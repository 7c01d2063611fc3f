"""The distributions: layers, wings, public names, wheels, READMEs, and the tools for them."""
