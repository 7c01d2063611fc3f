"""The tools of this repository that work on test runs."""
