"""The part of hakit that runs on a host: standard library only, Python 3.9+, sent over the SSH channel."""
