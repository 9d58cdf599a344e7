"""What an operator does with a PostgreSQL cluster: look at it, move its primary, take a member back.

layout     what the inventory says of a cluster
member     what one member says of itself, as typed values
picture    what all of them say together, and what it means (pure)
choosing   whom to promote, and whether that may lose commits (pure)
sessions   the open sessions with the members of a cluster, and their locks
conductor  one command's work with them: what is asked, in which order
switchover, failover, rejoin   the commands, each a chain of steps that can be run again after any of them
"""
