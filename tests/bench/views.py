"""How long the four views take to be drawn: `python -m tests.bench.views` prints a table, seconds by step.

The views of the plan on 64 GPUs, and a picture at the limit of what the views show: 48 stages of 62 cards.
"""

from __future__ import annotations

from itertools import pairwise
from time import perf_counter

from dagc.export.renderers import render
from dagc.export.views.dot import to_dot
from dagc.export.views.draw import view_of
from dagc.export.views.svg import finished
from dagc.export.views.view import Arrow, ArrowKind, Bar, Box, BoxShape, Cluster, Distance, View
from dagc.graph.priced import Bound
from tests.harness.places import EXAMPLES
from tests.unit.view_scenes import scene

STAGES, CARDS = 48, 62


def largest() -> View:
    """As many boxes as the views ever show."""
    stages: list[Cluster] = []
    arrows: list[Arrow] = []
    for stage in range(STAGES):
        lines = ("layers 0–15, ×16", Bar(((Bound.COMPUTE, 0.5), (Bound.MEMORY, 0.3))), "compute 50 %, memory 30 %")
        cards = tuple(Box(f"s{stage}.{card}", BoxShape.CARD, lines) for card in range(CARDS))
        stages.append(Cluster(f"s{stage}", (f"stage {stage}",), cards))
        arrows += [Arrow(a.name, b.name, ArrowKind.SEQUENCE) for a, b in pairwise(cards)]
    beside = tuple(f"s{stage}.0" for stage in range(STAGES))
    whole = Cluster("all", ("main",), tuple(stages), beside=beside)
    return View(Distance.STAGE, "largest", ("largest",), (), (whole,), tuple(arrows))


def row(title: str, view: View) -> str:
    """One line of the table."""
    times = [perf_counter()]
    dot = to_dot(view)
    times.append(perf_counter())
    drawing, _ = render(dot)
    times.append(perf_counter())
    assert drawing is not None
    finished(drawing, view)
    times.append(perf_counter())
    steps = "".join(f"{after - before:10.3f}" for before, after in pairwise(times))
    return f"{title:<14}{sum(1 for _ in view.boxes()):>7}{steps}{times[-1] - times[0]:10.3f}"


def main() -> None:
    """Print the table."""
    print(f"{'view':<14}{'boxes':>7}{'dot':>10}{'layout':>10}{'svg':>10}{'all':>10}")
    of = scene((EXAMPLES / "01-deepseek-v3-64-gpus.moe").read_text(encoding="utf-8"))
    for distance in Distance:
        print(row(distance.value, view_of(of, distance)))
    print(row("largest", largest()))


if __name__ == "__main__":
    main()
