"""What an operator does with a PostgreSQL cluster: look at it, move its primary, take a member back.

picture    what the members say, as typed values, and what it means (pure)
choosing   whom to promote, and whether that may lose commits (pure)
conductor  the open sessions with the members of a cluster, and their locks
switchover, failover, rejoin   the commands, each a chain of steps that can be run again after any of them
"""
