"""The vocabulary of things declared on a host, one file per type."""
