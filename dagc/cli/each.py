"""`python -m dagc.cli.each COMMAND [OPTION...] PLAN...`: a command on each plan, for hooks that pass many files.

Words that end in `.moe` are plans, all others go to the command. The exit status is the largest.
"""

from __future__ import annotations

import sys
from typing import NoReturn

from dagc.cli.main import invoke


def run() -> NoReturn:
    """Run the command on each plan in turn."""
    words = sys.argv[1:]
    options = [word for word in words if not word.endswith(".moe")]
    statuses: list[int] = []
    for plan in (word for word in words if word.endswith(".moe")):
        sys.argv = ["dagc", *options, plan]
        statuses.append(invoke())
    raise SystemExit(max(statuses, default=0))


if __name__ == "__main__":
    run()
