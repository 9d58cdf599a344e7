"""The rule registry and the rules that span components."""
