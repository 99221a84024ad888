"""Operators and collectives, one file each: parameters, FLOPs, bytes, formula of the time, names in outputs."""
