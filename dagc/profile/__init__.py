"""Profiles of engines beside a plan: kernels of a trace, layers in them, and the operators that they are."""
