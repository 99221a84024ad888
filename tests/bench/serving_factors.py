"""How much ten runs of a GPU are worth: `python -m tests.bench.serving_factors RUNS.csv... --hardware mi325x=v0.5.9`.

Tables have the columns of InferenceX. Of each GPU, `--draws` times, `--runs` configurations and loads are drawn at
random; `dagc fit --serving` fits factors to these, and the others are judged: the median and the mean of the sizes of
the errors of TPOT, as the catalogue has it and with the factors. Runs with one node are closed loops. Of separate pools
the decode pool is judged, as a static batch of the requests that were in flight there (Little's law: output tokens a
second x TPOT). `--image TEXT` takes runs whose image has this text, so that all are of one version of an engine.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from statistics import mean, median

import numpy as np

from dagc.catalog.serving_benchmark import BenchmarkRow, server_limits, unusable
from dagc.driver.fit_serving import PlanRun, run_times, serving_runs
from dagc.driver.load_run import plan_text
from dagc.driver.load_table import read_loads
from dagc.fit.serving import fit_factors
from dagc.source import Source

HEAD = ("id", "kind", "model", "cluster", "engine", "workload", "strategy", "metric", "measured")
EXPERTS = 256
SHARE = 0.8
"""Lengths are drawn from this share of the nominal one to all of it."""


def main() -> None:
    """Print a line for each GPU, and one for all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", type=Path)
    parser.add_argument("--hardware", action="append", required=True)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--runs", type=int, default=10)
    asked = parser.parse_args()
    before, after = list[list[float]](), list[list[float]]()
    for named in asked.hardware:
        hardware, _, image = named.partition("=")
        texts = [path.read_text(encoding="utf-8") for path in asked.tables]
        runs = list(runs_of(texts, hardware, image))
        times, measured = run_times(runs), np.array([run.measured for run in runs])
        was, became = list[float](), list[float]()
        for draw in range(asked.draws):
            order = np.random.RandomState(draw).permutation(len(runs))
            drawn, judged = order[: asked.runs], order[asked.runs :]
            factors = fit_factors(times.of(drawn), measured[drawn]).factors
            left = times.of(judged)
            was += np.abs(left.seconds(np.ones(len(factors))) / measured[judged] - 1).tolist()
            became += np.abs(left.seconds(factors) / measured[judged] - 1).tolist()
        print(line(f"{named}, {len(runs)} runs", was, became), flush=True)
        before.append(was)
        after.append(became)
    print(line("all", [*chain.from_iterable(before)], [*chain.from_iterable(after)]))
    print(f"median over GPUs         {median(map(median, before)):.1%} -> {median(map(median, after)):.1%}")


def line(title: str, before: list[float], after: list[float]) -> str:
    """Medians and means of errors before and after."""
    medians, means = f"{median(before):.1%} -> {median(after):.1%}", f"{mean(before):.1%} -> {mean(after):.1%}"
    return f"{title:24} median {medians}   mean {means}"


def runs_of(texts: list[str], hardware: str, image: str) -> Iterator[PlanRun]:
    """The runs of one GPU, repeats of a configuration and load as their median."""
    found: dict[str, list[float]] = {}
    for text in texts:
        lines = list(csv.DictReader(text.splitlines()))
        for run in read_loads(Source("table", text))[0]:
            cells, row = lines[run.line - 2], run.row
            if row.hardware != hardware or image not in row.image or unusable(row):
                continue
            plan = plan_of(row, float(cells.get("output_tput_per_gpu") or 0) * int(cells["num_decode_gpu"] or 0)
                           * run.measured["median_tpot"])  # fmt: skip
            found.setdefault(plan, []).append(run.measured["median_tpot"])
    rows = [[f"run-{i}", *plan.split("\t"), "tpot", f"{median(of)} s"] for i, (plan, of) in enumerate(found.items())]
    table = "\n".join(",".join(f'"{cell}"' for cell in one) for one in (HEAD, *rows))
    problems: list[object] = []
    yield from serving_runs(Source(f"{hardware}.csv", table), None, problems)  # pyright: ignore[reportArgumentType]
    for problem in problems:
        print(problem)


def plan_of(row: BenchmarkRow, in_flight: float) -> str:
    """Kind, model, cluster, engine, workload and strategy, as cells of a table of cases."""
    worker, limits = row.decode or row.worker, server_limits(row)
    kept = limits.kv_dtype if limits else "fp8"
    blocks = dict(part.split(" ", 1) for part in plan_text(row, worker, kept, -EXPERTS % worker.ep).splitlines())
    if row.decode is None:
        low = [int(SHARE * one) for one in (row.prompt, row.output)]
        lengths = f"prompt {low[0]} to {row.prompt} output {low[1]} to {row.output}"
        workload = f"concurrency {row.concurrency} {lengths}"
    else:
        batch = max(1, round(min(in_flight or row.concurrency, row.concurrency) / worker.workers))
        workload = f"batch {batch} prompt {row.prompt} output {row.output}"
    strategy = blocks["strategy"].partition("= ")[2]
    return "\t".join(["serving", blocks["model"], blocks["cluster"], blocks.get("engine", ""), workload, strategy])


if __name__ == "__main__":
    main()
