"""The meaning of a strategy: scopes, sizes, domains, placement."""
