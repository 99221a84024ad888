"""The typed graph of operators and communication, grouped: templates, their counts, and the teams that run them."""
