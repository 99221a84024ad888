"""Flat notations, such as `TP2-EP4-PP2-DP2`: read, and given the strategies that they can mean."""
