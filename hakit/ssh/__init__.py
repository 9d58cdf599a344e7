"""SSH connections: keys, host keys, jump hosts, sudo."""
