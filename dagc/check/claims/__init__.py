"""Rules over what a plan claims of a strategy; they are imported where it claims anything."""
