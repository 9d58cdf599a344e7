"""What hakit does with PostgreSQL on a host: standard library only, started by the agent or living there for good.

    place      where a cluster's things are
    client     SQL over the server's UNIX socket
    quoting    names and values as SQL writes them
    scram      what the server keeps of a password
    control    what pg_controldata says of a data directory
    record     what was decided of this cluster, kept on each member
    look       the state of this member, as one mapping
    tasks      the verbs that an operator's command asks of one member:
    steps      … those that a running or stopped server takes at once
    power      … its start and stop
    rewinding  … a former primary taken back
    torn       that a rewind did not end, so that nobody starts what it left
    making     a data directory made or copied, never half; `progress` tells how far
    upstream   whom a standby follows; `replication` asks it
    programs   the server's programs, run as its user
    states     what members tell each other
    quorum     how many of them must be heard or told
    guard      whether a server may open for writes after a start
    endpoint   the role of this server over HTTP, for balancers and for its peers: what is answered
    watching   … how it comes to be known, by `own` of this server and by `asking` of its peers
    serving    … how it is told
    resident   where both start
    library    their files

The guard and the endpoint are put on the host as files of their own (`LIBRARY`), for they must work with nobody there.
"""
