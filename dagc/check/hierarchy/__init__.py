"""Rules over the text alone: where an axis, a scope, a fold and pools may occur. One rule a file.

Each has a `CODE` and a `check(annotated)` that turns the nodes with one fault into diagnostics.
"""
