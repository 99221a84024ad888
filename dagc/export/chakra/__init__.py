"""A plan as Chakra execution traces, one file a rank, and the groups of its collectives."""
