"""A strategy under load, as records: distributions of times, each service, saturation; and metrics read off them."""

from __future__ import annotations

from math import inf, isfinite
from typing import TYPE_CHECKING

from dagc import metrics as of
from dagc.metrics import PERCENTILES, Metric
from dagc.results.record import record

if TYPE_CHECKING:
    from dagc.simulate.load import LoadRun, Sample, ServiceFigures


@record
class Distribution:
    """Seconds: the mean and percentiles over requests (of `itl`: over gaps between tokens); null where there are none.

    Each of `errors_seconds` is half of a 95 % confidence interval, from the spread of sections of the run; null where
    the run is too short to tell.
    """

    mean_seconds: float | None
    percentiles_seconds: dict[str, float | None]
    errors_seconds: dict[str, float | None]


@record
class ServiceLoad:
    """A service while requests are counted. `cache_*` are shares of its blocks.

    Means of `queue_*` and `running_*` are of requests over all replicas, maxima of those of one replica.
    """

    service: str
    utilisation: float
    queue_mean: float
    queue_max: int
    running_mean: float
    running_max: int
    cache_mean_share: float
    cache_max_share: float


@record
class Saturation:
    """The arrival rate above which a queue grows without end, and whether the stated one stays below it."""

    requests_per_second: float
    holds: bool


@record
class ServerTime:
    """Seconds of TTFT outside of steps at the mean prompt: HTTP server, tokenizer, scheduler before the first step.

    They are fitted to serving runs. `ttft_error_seconds` is half of the interval that holds 80 % of the errors of TTFT
    in those runs at low concurrency, errors of step times included.
    """

    seconds: float
    ttft_error_seconds: float


@record
class SimulatedLoad:
    """Simulated requests on a strategy. `requests` are counted ones; `warmup` ran before them, and before each of
    `sections` where these are several: runs with other places in which requests begin.

    `saturation` is null in a closed loop, whose queue is bounded; `server_time` is null where none is known of the
    engine. Goodput counts the requests that keep every ceiling
    that the plan requires on a time of requests; null where it requires none.
    """

    arrivals: str
    requests: int
    warmup: int
    sections: int
    seed: int
    seconds: float
    requests_per_second: float
    output_tokens_per_second: float
    total_tokens_per_second: float
    goodput_requests_per_second: float | None
    ttft: Distribution
    server_time: ServerTime | None
    itl: Distribution
    tpot: Distribution
    e2e: Distribution
    preemptions: int
    services: list[ServiceLoad]
    saturation: Saturation | None

    @property
    def holds(self) -> bool:
        """Whether figures are those of a steady state: no queue grows without end."""
        return self.saturation is None or self.saturation.holds


def simulated_load(
    run: LoadRun,
    arrivals: str,
    seed: int,
    saturation: Saturation | None,
    ceilings: dict[str, float],
    server_time: ServerTime | None = None,
) -> SimulatedLoad:
    """The record of one run; `ceilings` are limits in seconds on `ttft`, `tpot`, `e2e` of a request, for goodput."""
    rate = run.requests_per_second
    output = float(run.requests.output[run.counted].mean())
    prompt = float(run.requests.prompt[run.counted].mean())
    return SimulatedLoad(
        arrivals=arrivals,
        requests=int(run.counted.sum()),
        warmup=run.sections[0][0],
        sections=len(run.sections),
        seed=seed,
        seconds=run.seconds,
        requests_per_second=rate,
        output_tokens_per_second=rate * output,
        total_tokens_per_second=rate * (output + prompt),
        goodput_requests_per_second=rate * run.share_within(ceilings) if ceilings else None,
        ttft=_distribution(run.ttft),
        server_time=server_time,
        itl=_distribution(run.itl),
        tpot=_distribution(run.tpot),
        e2e=_distribution(run.e2e),
        preemptions=run.preempted,
        services=[_service(one) for one in run.figures()],
        saturation=saturation,
    )


def simulated_value(load: SimulatedLoad, metric: Metric) -> float | None:
    """A simulated metric: TTFT and others without a percentile are means; None where requests had none.

    A time is infinite where the queue grows without end.
    """
    if metric is of.GOODPUT:
        return load.goodput_requests_per_second
    name, _, percentile = metric.name.partition("_")
    if name not in ("ttft", "itl", "tpot", "e2e"):
        return None
    times: Distribution = getattr(load, name)
    if not load.holds and name in ("ttft", "e2e"):
        return inf
    return times.percentiles_seconds[percentile] if percentile else times.mean_seconds


def _distribution(sample: Sample) -> Distribution:
    names = ["mean", *(f"p{percent}" for percent in PERCENTILES)]
    shares = [percent / 100 for percent in PERCENTILES]
    mean, *quantiles = map(_finite, sample.figures(shares))
    return Distribution(
        mean_seconds=mean,
        percentiles_seconds=dict(zip(names[1:], quantiles, strict=True)),
        errors_seconds=dict(zip(names, sample.errors(shares), strict=True)),
    )


def _service(figures: ServiceFigures) -> ServiceLoad:
    return ServiceLoad(
        service=figures.name,
        utilisation=figures.utilisation,
        queue_mean=figures.queue_mean,
        queue_max=figures.queue_max,
        running_mean=figures.running_mean,
        running_max=figures.running_max,
        cache_mean_share=figures.cache_mean,
        cache_max_share=figures.cache_max,
    )


def _finite(value: float) -> float | None:
    return value if isfinite(value) else None
