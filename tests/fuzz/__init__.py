"""A fuzzer of the whole command: `python -m tests.fuzz SECONDS`.

`generate` makes inputs, `judging` runs a command on one in this process and says what is wrong, `shrink` makes the
input small, `corpus/` keeps it. Inputs that reach a set of diagnostics for the first time are mutated further.
"""
