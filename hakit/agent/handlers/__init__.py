"""How each type of resource is read, compared, applied and removed; one file per type, as its declaration has."""
