"""When every operator of a priced phase runs: one columnar program, one kernel, and what is read off its times."""
