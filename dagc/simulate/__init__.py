"""Requests under load: arrivals, queues and schedulers of engines, on step times of the priced graph."""
