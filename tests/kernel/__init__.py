"""The kernel of the schedule: how it is built."""
