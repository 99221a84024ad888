"""What holds for every test: property tests try the same inputs each time, and no test is timed.

`--hypothesis-profile=thorough` tries more inputs, see `tests.harness.effort`.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("dagc", deadline=None, derandomize=True, database=None, max_examples=50)
settings.register_profile("thorough", settings.get_profile("dagc"), print_blob=True)
settings.load_profile("dagc")
