"""Runs testinfra tests against the hosts of a site, over hakit's own SSH connections and nowhere else."""
