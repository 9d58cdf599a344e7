"""Disks and arrays of a host: what there is, what is on it, and the proof that a disk is empty."""
