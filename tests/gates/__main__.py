"""Compares every output with its recorded digest: `python -m tests.gates`; `--write` records anew.

A change that must not change outputs leaves all digests as they are. One that changes some on purpose records them in
the same commit, which says which outputs change and why. `--record SEED` replaces the recorded plans themselves by 200
random legal ones.
"""

from __future__ import annotations

import argparse
import random
import sys

from dagc.driver.check import check
from dagc.source import Source
from tests.fuzz.plans import valid
from tests.gates import digests

MOST_GPUS = 128


def _legal(seed: int, count: int) -> list[str]:
    """Random plans without an error, each priced in a moment."""
    rng, found = random.Random(seed), list[str]()
    while len(found) < count:
        text = valid(rng)
        outcome = check(Source("plan.moe", text))
        gpus = sum(one.structure.gpus for one in outcome.checked)
        if outcome.checked and gpus <= MOST_GPUS and not any(one.is_error for one in outcome.diagnostics):
            found.append(text)
    return found


def run() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gates", description=__doc__)
    parser.add_argument("names", nargs="*", help="plans, by file name or number; default: all")
    parser.add_argument("--write", action="store_true", help="record the digests")
    parser.add_argument("--record", type=int, metavar="SEED", help="replace the recorded plans")
    parser.add_argument("--workers", type=int, default=2)
    chosen = parser.parse_args()
    if chosen.record is not None:
        digests.PLANS.write_text(digests.SEPARATOR.join(_legal(chosen.record, 200)), encoding="utf-8")
    plans = {name: text for name, text in digests.plans().items() if not chosen.names or name in chosen.names}
    after: dict[str, digests.Row] = {}
    for name, row in digests.rows(plans, chosen.workers):
        after[name] = row
        print(f"\r{len(after)} of {len(plans)} plans", end="", file=sys.stderr)
    print(file=sys.stderr)
    if chosen.write:
        digests.write((digests.read() if chosen.names else {}) | after)
        return 0
    changed = digests.differences(digests.read(), after)
    for column, names in changed.items():
        print(f"{column}: {len(names)} of {len(plans)} plans differ: {' '.join(names[:8])}{' …' * (len(names) > 8)}")
    print(f"{len(plans)} plans, {'no' if not changed else len(changed)} outputs differ")
    return int(bool(changed))


if __name__ == "__main__":
    sys.exit(run())
