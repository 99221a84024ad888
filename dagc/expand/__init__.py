"""The graph rank by rank: one row for each execution of an operator on a rank, in columns."""
