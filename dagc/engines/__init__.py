"""Serving engines: what each calls the degrees, how it counts and numbers ranks, how it splits what does not divide."""
