"""Measurements that people run; none of them is a test."""
