"""A PostgreSQL cluster on real hosts, behind real balancers, with a client that counts its rows."""
