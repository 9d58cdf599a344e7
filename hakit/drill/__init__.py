"""Load, faults and measurement: how long a failover really takes."""
