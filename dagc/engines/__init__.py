"""Serving engines, a file each: how an engine counts degrees and ranks, what it rounds, its flags, what it lacks.

`engine.py` declares what is recorded of every engine, and `runtime.py` what of it prices and memory depend on;
`registry.py` finds the files. Every other file is an engine, or is shared by all of them: `flags.py`, `instance.py`,
`nearest.py`, `scheduler.py`.
"""
