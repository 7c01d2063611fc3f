"""What a type checker says of a user's code; these files are checked, and run as tests too."""
