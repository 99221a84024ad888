"""Syntax: the plan's text as a tree, and the tree as canonical text."""
