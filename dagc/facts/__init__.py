"""Blocks of a plan become facts: model, cluster, workload, requirements and claims, in SI units."""
