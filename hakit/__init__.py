"""hakit: high availability on on-prem Linux hosts, from one inventory."""

__version__ = "0.1.0"
