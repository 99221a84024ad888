"""Rules that hold the size of a plan against its cluster. One rule a file."""
