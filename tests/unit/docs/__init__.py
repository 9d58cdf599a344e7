"""Tests of what people read: README, docs/, and the help of every command."""
