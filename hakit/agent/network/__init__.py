"""A host's network: what is found there, what it is now, how it differs from what is declared."""
