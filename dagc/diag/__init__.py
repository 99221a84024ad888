"""Diagnostics: what is wrong with a plan, where, why, and what to do about it."""
