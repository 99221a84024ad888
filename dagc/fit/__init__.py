"""Measurements of a GPU become its calibration."""
