"""The command line: parses, calls, presents."""
