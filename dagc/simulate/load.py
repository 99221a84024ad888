"""A plan under load: requests on the schedulers of its engine, with step times of its graph, and their figures.

Figures are those of requests whose place in the order of arrival is in a section that is counted: requests before it
warm the queues up, requests behind it keep the load up until its last one ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from dagc.graph.priced import PICOSECONDS
from dagc.plan.deployment import Service
from dagc.plan.plan import Plan
from dagc.simulate.gaps import gap_at
from dagc.simulate.graph_times import GraphTimes
from dagc.simulate.kernel import Simulated, Simulation
from dagc.simulate.policy import FirstToken, Policy
from dagc.simulate.repeats import Repeats, closed_up
from dagc.simulate.requests import Requests

Seconds = npt.NDArray[np.float64]
Ranks = npt.NDArray[np.int64]

MOST_GAPS = 1 << 22
"""Steps of a run up to which the gap of each is looked at."""

SECTIONS = 10
"""Sections of a run whose spread is its sampling error."""

STUDENT_95 = 2.262
"""Two-sided 95 % quantile of Student's t distribution with `SECTIONS` - 1 degrees of freedom."""


@dataclass(frozen=True)
class Sample:
    """Values, each seen `weights` times; None where each is seen once. In the order of time where they are ordered."""

    values: Seconds
    weights: npt.NDArray[np.int64] | None = None
    is_ordered: bool = True

    @property
    def mean(self) -> float:
        """Mean of the values; NaN of none."""
        return float(np.average(self.values, weights=self.weights)) if len(self.values) else float("nan")

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """The values that shares of all are not above, linear between two as `numpy.percentile` has it; NaN of none."""
        if not len(self.values):
            return [float("nan")] * len(shares)
        if self.weights is None:
            return np.quantile(self.values, shares).tolist()
        order = self._order
        ends = np.cumsum(self.weights[order])
        places = np.asarray(shares) * (ends[-1] - 1)
        below = self.values[order[np.searchsorted(ends, np.floor(places), side="right")]]
        above = self.values[order[np.searchsorted(ends, np.ceil(places), side="right")]]
        return (below + (above - below) * (places - np.floor(places))).tolist()

    @cached_property
    def _order(self) -> npt.NDArray[np.int64]:
        """Places of the values, from the least on."""
        return np.argsort(self.values)

    def quantile(self, share: float) -> float:
        """The value that this share of all is not above."""
        return self.quantiles([share])[0]

    def figures(self, shares: Sequence[float]) -> list[float]:
        """The mean, and the quantiles at the shares."""
        return [self.mean, *self.quantiles(shares)]

    def errors(self, shares: Sequence[float]) -> list[float | None]:
        """Of the mean and of the quantile at each share half of its 95 % confidence interval.

        None where a section of the run has no values, and where values are not in the order of time.

        The method of batch means (Law, "Simulation Modeling and Analysis", 5th ed., section 9.5.3): sections are long
        against the time over which a queue remembers, so that their figures are nearly independent. Of a quantile the
        figure of a section is its share of values up to it, which is a mean too: a high quantile of a section by
        itself would leave out that one section may have most of the high values. An interval of the share becomes one
        of the quantile by the values at its ends, the further of which counts (Heidelberger and Lewis, "Quantile
        estimation in dependent sequences", Operations Research 32, 1984). Where the interval of the share reaches 1, no
        value that was seen bounds the quantile: the spread of the sections' quantiles is the least error.
        """
        parts = np.array_split(self.values, SECTIONS)
        if not self.is_ordered or not all(map(len, parts)):
            return [None] * (1 + len(shares))
        weights = [None] * SECTIONS if self.weights is None else np.array_split(self.weights, SECTIONS)
        quantiles = self.quantiles(shares)
        table = np.array(
            [
                [np.average(part, weights=weight), *(np.average(part <= one, weights=weight) for one in quantiles)]
                for part, weight in zip(parts, weights, strict=True)
            ]
        )
        own = np.array([Sample(part, weight).quantiles(shares) for part, weight in zip(parts, weights, strict=True)])
        mean, *spread = _half_interval(table)
        _, *seen = table.mean(axis=0).tolist()
        is_open = [share + half >= 1 for share, half in zip(seen, spread, strict=True)]
        smallest = [one if is_high else 0.0 for one, is_high in zip(_half_interval(own), is_open, strict=True)]
        low = self.quantiles([max(0.0, share - half) for share, half in zip(shares, spread, strict=True)])
        high = self.quantiles([min(1.0, share + half) for share, half in zip(shares, spread, strict=True)])
        ends = zip(low, quantiles, high, strict=True)
        # Whole picoseconds: where all sections are alike, what is left is rounding.
        errors = (max(top - one, one - bottom) for bottom, one, top in ends)
        return [round(one, 12) for one in (mean, *map(max, errors, smallest))]


def _half_interval(table: Seconds) -> list[float]:
    """Half of the 95 % confidence interval of the mean of each column, from its rows, one for each section."""
    return (STUDENT_95 * table.std(axis=0, ddof=1) / SECTIONS**0.5).tolist()


@dataclass(frozen=True, slots=True)
class ServiceFigures:
    """Figures of one service over the time in which requests are counted; means are over time."""

    name: str
    utilisation: float
    queue_mean: float
    queue_max: int
    running_mean: float
    running_max: int
    cache_mean: float
    cache_max: float


@dataclass(frozen=True)
class LoadRun:
    """What became of the requests of one run; figures are of its `sections`: first request, and last, exclusive."""

    services: tuple[Service, ...]
    policies: tuple[Policy, ...]
    requests: Requests
    simulated: Simulated
    sections: tuple[tuple[int, int], ...]

    @cached_property
    def counted(self) -> npt.NDArray[np.bool_]:
        """Of each request whether figures count it."""
        return _counted(len(self.requests), self.sections)

    @property
    def counted_spans(self) -> list[tuple[int, int]]:
        """Of each section when its first request is issued and when the last of it has ended, in picoseconds."""
        done = self.simulated
        return [(int(done.issued[first]), int(done.last[first:last].max())) for first, last in self.sections]

    def _between(self, begin: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> Seconds:
        return (end[self.counted] - begin[self.counted]) / PICOSECONDS

    def places(self, part: slice) -> tuple[Ranks, Ranks, Ranks]:
        """Where the last token of some requests was decoded: service, its replica, the rank of that."""
        single = (self.requests.output[part] == 1) & (len(self.services) > 1)
        service = np.where(single, 0, len(self.services) - 1)
        width = np.array([policy.ranks for policy in self.policies])[service]
        replica, rank = np.divmod(self.simulated.place[part].astype(np.int64), width)
        return service, replica, rank

    @property
    def ttft(self) -> Sample:
        """Seconds from the issue of a request to its first token."""
        return Sample(self._between(self.simulated.issued, self.simulated.first))

    @property
    def e2e(self) -> Sample:
        """Seconds from the issue of a request to its last token."""
        return Sample(self._between(self.simulated.issued, self.simulated.last))

    @property
    def tpot(self) -> Sample:
        """Seconds between two tokens of a request, its mean; of requests with two tokens or more."""
        tokens = self.requests.output[self.counted]
        times = self._between(self.simulated.first, self.simulated.last)
        return Sample(times[tokens > 1] / (tokens[tokens > 1] - 1))

    @property
    def itl(self) -> Sample:
        """Seconds between two tokens of a request, each gap by itself.

        Of more than `MOST_GAPS` steps those of a row, whose times are affine, are taken in parts, each by its middle.
        """
        base, slope, context, growth, steps, sequences = self.simulated.gaps.T
        if not slope.any() and (np.diff(base) > 0).all():
            return Sample(base / PICOSECONDS, sequences, is_ordered=False)
        total = int(steps.sum())
        parts = steps if total <= MOST_GAPS else np.maximum(1, (steps * (MOST_GAPS / total)).astype(np.int64))
        row = np.repeat(np.arange(len(steps)), parts)
        part, of, length = np.arange(len(row)) - (np.cumsum(parts) - parts)[row], parts[row], steps[row]
        step = (2 * part + 1) * length // (2 * of)
        times = gap_at(base[row], slope[row], context[row] + growth[row] * step)
        return Sample(times / PICOSECONDS, sequences[row] * (length * (part + 1) // of - length * part // of))

    @property
    def seconds(self) -> float:
        """From the issue of the first request of each section to the end of its last; a picosecond at least."""
        return max(1, sum(end - begin for begin, end in self.counted_spans)) / PICOSECONDS

    @property
    def requests_per_second(self) -> float:
        """Requests that end between the issue of the first of a section and that of its last, a second.

        Of many sections each has few rounds of a closed loop, and from the first request to the one behind the last
        they are whole: one is issued where another ends.
        """
        issued, ended = self.simulated.issued, np.sort(self.simulated.last)
        first, last = np.array(self.sections).T
        if len(last) > 1 and last[-1] < len(issued) and (issued[last] > issued[first]).all():
            return float((last - first).sum()) / (int((issued[last] - issued[first]).sum()) / PICOSECONDS)
        begin, end = issued[first], issued[last - 1]
        count = int((np.searchsorted(ended, end) - np.searchsorted(ended, begin)).sum())
        time = int((end - begin).sum())
        if count < 2 or not time:
            return float(self.counted.sum()) / self.seconds
        return count / (time / PICOSECONDS)

    def share_within(self, ceilings: Mapping[str, float]) -> float:
        """Share of counted requests whose `ttft`, `tpot` and `e2e` keep these limits in seconds.

        A request of one token has no `tpot`, and keeps any.
        """
        tokens = self.requests.output[self.counted]
        decoding = self._between(self.simulated.first, self.simulated.last)
        times = {"ttft": self.ttft.values, "e2e": self.e2e.values, "tpot": decoding / np.maximum(tokens - 1, 1)}
        return float(np.all([times[name] <= limit for name, limit in ceilings.items()], axis=0).mean())

    @property
    def preempted(self) -> int:
        """Preemptions of counted requests."""
        return int(self.simulated.preempted[self.counted].sum())

    def figures(self) -> tuple[ServiceFigures, ...]:
        """Figures of each service."""
        return tuple(self._service(number) for number in range(len(self.services)))

    def _service(self, number: int) -> ServiceFigures:
        policy, runs = self.policies[number], self.simulated.runs
        runs = runs[runs[:, 3] >> 32 == number]
        time = np.zeros(len(runs), dtype=np.int64)
        for begin, end in self.counted_spans:
            time += np.maximum(np.minimum(runs[:, 1], end) - np.maximum(runs[:, 0], begin), 0)
        runs, time = runs[time > 0], time[time > 0]
        share = time / (self.seconds * PICOSECONDS * policy.replicas)
        busy = float(share.sum())
        blocks = policy.blocks * policy.ranks

        def mean(column: int) -> float:
            return float((share * runs[:, column]).sum()) * policy.replicas

        def peak(column: int) -> int:
            return int(runs[:, column].max()) if len(runs) else 0

        return ServiceFigures(
            name=str(self.services[number].phase),
            utilisation=busy,
            queue_mean=mean(6),
            queue_max=peak(6),
            running_mean=mean(4),
            running_max=peak(4),
            cache_mean=mean(7) / (blocks * policy.replicas),
            cache_max=peak(7) / blocks,
        )


@dataclass(frozen=True, slots=True)
class LoadModel:
    """What runs requests on a plan. `entry` is the picoseconds of a request before the engine.

    `report` takes how many requests of a run have ended, of how many.
    """

    plan: Plan
    policies: tuple[Policy, ...]
    times: tuple[GraphTimes, ...]
    entry: int = 0
    first_token: FirstToken = FirstToken.AFTER_PREFILL
    report: Callable[[int, int], None] | None = None

    def run(self, requests: Requests, counted: tuple[int, int]) -> LoadRun:
        """All requests to their ends."""
        simulated = self._simulated(requests, (counted,))
        return LoadRun(self.plan.deployment.services, self.policies, requests, simulated, (counted,))

    def run_repeats(self, repeats: Repeats) -> LoadRun:
        """All requests to their ends, each repeat right behind the one before it."""
        requests, simulated = closed_up(repeats, self._simulated(repeats.requests, repeats.sections))
        return LoadRun(self.plan.deployment.services, self.policies, requests, simulated, repeats.sections)

    def _simulated(self, requests: Requests, sections: Sequence[tuple[int, int]] = ()) -> Simulated:
        """Runs are kept where sections are counted."""
        return Simulation(
            requests, self.policies, self.times, entry=self.entry, first_token=self.first_token,
            keeps_runs=bool(sections), counted=_counted(len(requests), sections), report=self.report,
        ).run()  # fmt: skip

    def saturated_rate(self, requests: Requests) -> float:
        """Requests a second that the deployment completes when requests never lack.

        All of `requests` wait from the start; at least three times as many as run at once are needed. It is the
        highest arrival rate that holds, by the saturation rule (Baccelli and Foss, "On the saturation rule
        for the stability of queues", 1995). The ramp at either end, as long as what runs at once, is left out.
        """
        waiting = replace(requests, arrival=np.zeros_like(requests.arrival))
        ended = np.sort(self._simulated(waiting).last)
        low, high = len(ended) // 4, len(ended) * 3 // 4
        return (high - low) * PICOSECONDS / max(1.0, float(ended[high] - ended[low]))


def _counted(count: int, sections: Sequence[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    found = np.zeros(count, dtype=np.bool_)
    for first, last in sections:
        found[first:last] = True
    return found
