"""From a plan to its graph: what each rank computes, moves and waits for."""
