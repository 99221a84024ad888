"""Digests of every output, for changes of the code that must not change what users get."""
