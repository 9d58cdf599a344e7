"""One package per technology; pure functions from settings to resources."""
