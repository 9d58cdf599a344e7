"""What hakit does with PostgreSQL on a host: standard library only, started by the agent or living there for good.

    place      where a cluster's things are
    client     SQL over the server's UNIX socket
    control    what pg_controldata says of a data directory
    record     what was decided of this cluster, kept on each member
    look       the state of this member, as one mapping
    steps      what an operator's command does to one member, one verb at a time
    making     a data directory made or copied, never half
    guard      whether a server may open for writes after a start
    endpoint   the role of this server over HTTP, for balancers and for its peers

`guard` and `endpoint` are also put on the host as files of their own (`LIBRARY`), for they must work with nobody there.
"""
