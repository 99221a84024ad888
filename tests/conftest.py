"""What holds for every test: property tests try the same inputs each time, and no test is timed."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("dagc", deadline=None, derandomize=True, database=None, max_examples=50)
settings.load_profile("dagc")
