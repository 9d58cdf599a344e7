"""Reads inventory files and secrets into an immutable, typed `Site`."""
