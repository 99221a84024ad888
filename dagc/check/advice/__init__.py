"""Advice: what is possible and probably not wanted. One rule a file, warnings all."""
