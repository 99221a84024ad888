"""Results as text for a terminal: one file for each result. They compute nothing that is not in the result."""
