"""Runs hakit as a user does and cuts it at a counted point; what it is cut in the middle of, and what is left then."""
