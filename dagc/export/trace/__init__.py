"""A timeline as a trace: tracks of ranks, their slices, arrows and counters, and the formats that hold them."""
