"""Tests of hakit as it is installed: the wheel."""
