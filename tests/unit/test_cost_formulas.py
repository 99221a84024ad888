"""Fitted formulas against arithmetic by hand, and the shipped coefficients against cited measurements."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dagc.catalog.calibration import Calibration, Regime, Residuals, load_calibration
from dagc.catalog.device import DeviceSpec
from dagc.catalog.dtype import Dtype, Stored
from dagc.catalog.part import Part
from dagc.catalog.presets import device_names, load_device
from dagc.engines.registry import get_engine
from dagc.engines.runtime import NO_ENGINE, Runtime
from dagc.fit.operators import ARITHMETIC, OPERATORS
from dagc.graph.priced import Bound, NodeCost
from dagc.ops.formula import Coefficients, Machine
from dagc.ops.formulas import FORMULAS
from dagc.ops.gemm import Gemm, Matrix, product_terms
from dagc.ops.grouped_gemm import GroupedGemm, RowLayout
from dagc.ops.kv_cache import KvWrite
from dagc.ops.load import Load
from dagc.ops.op import Setting
from tests.harness.places import PACKAGE
from tests.unit.operators import Work, operator_cost

MACHINE = Machine(100e12, 1e12, 100)
PLAIN = {
    "peak": 1.0, "wave": 1.0, "fill": 0.0, "tile": 0.0, "memory": 1.0, "launch": 2e-6, "power": 8.0, "cast": 0.0,
}  # fmt: skip


def seconds(formula: str, coefficients: Coefficients, **inputs: float) -> float:
    arrays = {name: np.array([value]) for name, value in inputs.items()}
    return float(FORMULAS[formula].terms(coefficients, arrays, MACHINE).seconds[0])


def gemm(coefficients: dict[str, float], m: float, n: float, k: float, **more: float) -> float:
    return seconds("gemm", coefficients, **{"m": m, "n": n, "k": k, "products": 1, "bytes": 0, "cast": 0, **more})


def test_a_last_wave_of_tiles_is_waited_for() -> None:
    """101 tiles of 64 x 64 on 100 processors take two waves: 2 · 100 · 2 · 64 · 64 · 1,000 / 100 TFLOP/s = 16.4 us.

    100 tiles take one. Larger tiles are no faster here: 51 of 128 x 64 are as 100 of 64 x 128, which is two of 64 x 64.
    """
    assert gemm(PLAIN, 64, 6_400, 1000) == pytest.approx(2e-6 + 8.192e-6)
    assert gemm(PLAIN, 64, 6_464, 1000) == pytest.approx(2e-6 + 16.384e-6)
    half = gemm(PLAIN | {"wave": 0.5}, 64, 6_464, 1000)
    assert half == pytest.approx(2e-6 + 8.192e-6 * 1.505)


def test_rows_fill_up_a_tile() -> None:
    assert gemm(PLAIN, 1, 6_400, 1000) == gemm(PLAIN, 64, 6_400, 1000)


def test_bytes_and_casts_go_at_the_reached_bandwidth() -> None:
    """10 MB at 1 TB/s are 10 us, half of the bandwidth 20; casting 1 M elements with 3 bytes each is 3 us more."""
    assert gemm(PLAIN, 1, 64, 1, bytes=10e6) == pytest.approx(12e-6, rel=1e-6)
    assert gemm(PLAIN | {"memory": 0.5}, 1, 64, 1, bytes=10e6) == pytest.approx(22e-6, rel=1e-6)
    assert gemm(PLAIN | {"cast": 3.0}, 1, 64, 1, bytes=10e6, cast=1e6) == pytest.approx(15e-6, rel=1e-6)


@pytest.mark.parametrize("mean", [0.5, 3.0, 40.0, 64.0, 70.0, 130.0, 500.0])
def test_experts_have_the_tiles_that_rows_by_chance_need(mean: float) -> None:
    """As many as independent draws of a Poisson distribution have on average, of experts that have a row at all.

    Tiles of 64 x 64 alone, one wave each on 100 processors: compute time counts them. Where an expert expects one tile
    the draws may need more, and the uniform distribution of the formula is within 6 % of them.
    """
    coefficients = PLAIN | {"wave": 0.0}
    drawn = np.random.default_rng(7).poisson(mean, 200_000)
    tiles = np.ceil(drawn[drawn > 0] / 64).mean()
    given = {
        "m": float(drawn[drawn > 0].mean()),
        "n": 64.0,
        "k": 1000.0,
        "products": 100.0,
        "bytes": 0.0,
        "cast": 0.0,
        "spread": 1.0,
    }
    arrays = {name: np.array([value]) for name, value in given.items()}
    found = product_terms(((64, 64),), coefficients, arrays, MACHINE).compute[0]
    assert found == pytest.approx(tiles * 64 * 64 * 2000 / 1e12, rel=0.06)


def test_weights_in_a_narrow_type_take_no_longer_than_in_a_wide_one() -> None:
    """Experts in fp8 whose kernel starts in 30 us are as slow as in bf16, of 2 us and twice the bytes, where few.

    16 MB in bf16 at 1 TB/s are 16 us and 2 to start. 80 MB in fp8 are 80 and 30, in bf16 160 and 2.
    """
    slow = replace(PRODUCTS, formula="grouped_gemm", coefficients=PLAIN | {"launch": 30e-6})
    device = lab(grouped_gemm__bf16=replace(slow, coefficients=PLAIN), grouped_gemm__fp8=slow)
    device = replace(device, flops={Dtype.BF16: 1e18, Dtype.FP8: 2e18})
    one, eight, ten = np.array([1.0]), np.array([8.0]), np.array([80.0])

    def taken(hit: Load, dtype: Dtype) -> float:
        matrix = Matrix(1000, 1000, Stored(dtype), Part.EXPERTS)
        found = operator_cost(GroupedGemm(one, hit, matrix, Dtype.BF16, 64, 64, one, hit), device, Dtype.BF16)
        return found.duration.item() / 1e6

    assert taken(eight, Dtype.BF16) == pytest.approx(18.0, rel=0.01)
    assert taken(eight, Dtype.FP8) == taken(eight, Dtype.BF16)
    assert taken(ten, Dtype.FP8) == pytest.approx(110.0, rel=0.01)


def test_shared_experts_in_grouped_products_read_their_own_bytes() -> None:
    """Ten experts, two of them shared in bf16 and eight in fp4: 8 x 0.5 + 2 x 2 bytes of 1,000 x 1,000 elements."""
    hit, none = np.array([10.0]), np.array([0.0])
    matrix = Matrix(1000, 1000, Stored(Dtype.FP4), Part.EXPERTS)
    found = GroupedGemm(none, hit, matrix, Dtype.BF16, 64, 64, none, hit, shared=2.0, shared_bytes=2.0)
    assert found.memory_bytes.item() == 8e6
    device = replace(lab(), flops={Dtype.BF16: 1e12, Dtype.FP4: 4e12})
    (wide,) = found.wider(Setting(device, Dtype.BF16))
    assert wide.memory_bytes.item() == 20e6


def test_what_is_equally_long_takes_longer_than_either() -> None:
    """(8.192^1 + 8.192^1)^(1/1) = 16.384 us at power 1; at power 8 it is 8.192 · 2^(1/8)."""
    both = {"m": 64, "n": 6_400, "k": 1000, "bytes": 8.192e6}
    assert gemm(PLAIN | {"power": 1.0}, **both) == pytest.approx(2e-6 + 16.384e-6)
    assert gemm(PLAIN, **both) == pytest.approx(2e-6 + 8.192e-6 * 2**0.125)


def test_nothing_to_do_takes_no_time() -> None:
    assert gemm(PLAIN, 0, 64, 64) == 0


def test_decode_reads_the_cache_and_computes_whole_rows() -> None:
    """8 sequences of 1,000: 80 MB at 1 TB/s are 80 us. One head for 4 queries computes 64 rows of width 256:
    2 · 1 · 64 · 256 · 8,000 / 100 TFLOP/s = 2.6 us, and 0.1 us for each sequence.
    """
    plain = {"peak": 1.0, "rows": 64.0, "memory": 1.0, "launch": 0.0, "power": 8.0, "sequence": 1e-7, "page": 0.0}
    given = {"pairs": 8000, "sequences": 8, "heads": 4, "kv_heads": 1, "width": 256}
    assert seconds("attention_decode", plain, **given, bytes=80e6) == pytest.approx(80.8e-6)
    assert seconds("attention_decode", plain, **given, bytes=0) == pytest.approx(2.62144e-6 + 8e-7)


def test_pages_past_the_end_are_of_the_cache_alone() -> None:
    """8 sequences of 1,000 read 500 positions more: half of the cache's 80 MB, none of the 16,384 bytes of the ends.

    Those are queries and results of 8 tokens, 4 heads and 256 elements, two bytes each.
    """
    plain = {"peak": 1.0, "rows": 1.0, "memory": 1.0, "launch": 0.0, "power": 8.0, "sequence": 0.0, "page": 500.0}
    given = {"pairs": 8000, "sequences": 8, "heads": 4, "kv_heads": 1, "width": 256}
    assert seconds("attention_decode", plain, **given, bytes=80e6 + 16_384) == pytest.approx(120.016384e-6)


def test_few_blocks_of_threads_draw_a_part_of_the_bandwidth() -> None:
    """A block draws 2 %: 16 parts of one key-value head 32 % of 1 TB/s, so that 80 MB take 250 us.

    So do fewer sequences, which are cut into the 16; 32 sequences have 64 %, 4 heads all that is reached.
    """
    plain = {
        "peak": 1.0, "rows": 1.0, "memory": 1.0, "launch": 0.0, "power": 8.0, "sequence": 0.0, "page": 0.0,
        "block": 0.02, "parts": 16.0,
    }  # fmt: skip

    def taken(sequences: float, kv_heads: float) -> float:
        given = {"pairs": 8000, "sequences": sequences, "heads": kv_heads, "kv_heads": kv_heads, "width": 256}
        return seconds("attention_decode_split", plain, **given, bytes=80e6)

    assert taken(1, 1) == taken(16, 1) == pytest.approx(250e-6)
    assert taken(32, 1) == pytest.approx(125e-6)
    assert taken(16, 4) == pytest.approx(80e-6)


def test_prefill_waits_for_its_longest_row() -> None:
    """One head, 1,024 queries: 2 · 256 · 524,800 pairs, and a row of 128 queries with 1,024 positions on one processor.

    2 · 256 · (524,800 + 100 · 128 · 1,024) / 100 TFLOP/s = 69.8 us.
    """
    plain = {"peak": 1.0, "start": 0.0, "wave": 1.0, "memory": 1.0, "launch": 0.0, "power": 8.0}
    given = {"pairs": 524_800, "queries": 1024, "sequences": 1, "heads": 1, "width": 256, "bytes": 0}
    assert seconds("attention_prefill", plain, **given) == pytest.approx(69.796e-6, rel=1e-4)


def test_states_and_tokens_of_a_recurrence_take_their_turns() -> None:
    """10 MB of states at half of 1 TB/s are 20 us, 1 MB of tokens at a tenth 10 us, and 5 us to launch."""
    coefficients = {"launch": 5e-6, "memory": 0.5, "tokens": 0.1}
    assert seconds("recurrent", coefficients, states=10e6, tokens=1e6) == pytest.approx(35e-6)


@pytest.mark.parametrize(("sequences", "measured"), [(64, 147e-6), (128, 275e-6)])
def test_decoding_of_a_gated_delta_net_is_as_measured(sequences: int, measured: float) -> None:
    """Convolution and update of the state, H20, 32 heads of 128 x 128 in fp32: alibaba/InferSim @ f2293dab."""
    cluster = load_device("h20-sxm")
    assert cluster is not None and cluster.device.bandwidth_bytes_per_second is not None
    state, moved = 2 * sequences * (32 * 128 * 128 * 4 + 8192 * 3 * 2), sequences * 32_896
    regime = load_calibration("h20-sxm").regimes["recurrence"]
    machine = Machine(1.0, cluster.device.bandwidth_bytes_per_second, 1)
    inputs = {"states": np.array([float(state)]), "tokens": np.array([float(moved)])}
    found = FORMULAS[regime.formula].terms(regime.coefficients, inputs, machine).seconds[0]
    assert found == pytest.approx(measured, rel=0.05)


def experts(runtime: Runtime, held: int) -> str:
    """Where the cost of 256 rows over the experts of a rank of 64 comes from."""
    matrix = Matrix(2048, 2048, Stored(Dtype.BF16), Part.EXPERTS)
    loads = np.array([256.0]), np.array([float(held)])
    one = GroupedGemm(*loads, matrix, Dtype.BF16, held, 64, *loads)
    cluster = load_device("h100-sxm")
    assert cluster is not None
    tuned = runtime.tunes_expert_shards
    return operator_cost(one, cluster.device, Dtype.BF16, tunes_expert_shards=tuned).source


def dispatched(layout: RowLayout, ranks: int, tokens: int) -> float:
    """Microseconds of both products of 256 experts of DeepSeek-V3 over ranks, on an H100, evenly routed."""
    cluster = load_device("h100-sxm")
    assert cluster is not None
    rows, hit = np.array([tokens * 8 / ranks]), np.array([256.0 / ranks])
    stored = Stored(Dtype.FP8, 4 / 128**2)
    products = [
        GroupedGemm(rows, hit, Matrix(n, k, stored, Part.EXPERTS), Dtype.BF16, 256 // ranks, 256, rows, hit, layout)
        for n, k in ((4096, 7168), (7168, 2048))
    ]
    return sum(operator_cost(one, cluster.device, Dtype.BF16).duration.item() for one in products) / 1e6


@pytest.mark.parametrize(
    ("layout", "ranks", "tokens", "measured"),
    [
        (RowLayout.MASKED, 8, 128, 532.0),
        (RowLayout.MASKED, 32, 256, 153.0),
        (RowLayout.MASKED, 128, 512, 55.0),
        (RowLayout.MASKED, 256, 512, 37.0),
        (RowLayout.CONTIGUOUS, 32, 1024, 876.0),
    ],
)
def test_rows_of_a_dispatch_have_kernels_of_their_own(
    layout: RowLayout, ranks: int, tokens: int, measured: float
) -> None:
    """ai-dynamo/aiconfigurator @ 095f58a5, SGLang's deepepmoe, whole layers: activations and sums are beyond this.

    The host launches a prefill's kernels one by one, so that few tokens take as long as some thousands.
    """
    found = dispatched(layout, ranks, tokens)
    assert 0.75 * measured < found < 1.05 * measured
    assert dispatched(layout, ranks, 2 * tokens) >= found


def test_products_of_many_dispatched_rows_are_most_of_their_layer() -> None:
    """65,536 tokens over 8 ranks: 5,520 us, of which 5.8 TFLOP take 2,920 us at the datasheet's peak."""
    assert 2920 < dispatched(RowLayout.CONTIGUOUS, 8, 65536) < 5520


def test_vllm_has_no_tiles_for_a_part_of_the_experts() -> None:
    vllm = get_engine("vllm").runtime
    assert experts(vllm, 16).startswith("grouped_gemm/bf16/default of")
    assert experts(vllm, 64).startswith("grouped_gemm/bf16 of")
    assert experts(NO_ENGINE, 16).startswith("grouped_gemm/bf16 of")
    assert experts(get_engine("sglang").runtime, 16).startswith("grouped_gemm/bf16 of")


def product(*rows: float) -> Gemm:
    """A bf16 product of m x 8,192 x 8,192; a weight is read once."""
    return Gemm(np.array(rows, dtype=np.float64), Matrix(8192, 8192, Stored(Dtype.BF16), Part.OTHER), Dtype.BF16)


@pytest.mark.parametrize(("m", "measured"), [(4096, 672.8e-6), (64, 50.42e-6), (1, 49.18e-6), (512, 89.77e-6)])
def test_products_on_h100_are_as_measured(m: int, measured: float) -> None:
    """TensorRT-LLM 1.3.0rc20 on H100 in ai-dynamo/aiconfigurator @ 095f58a5, bf16, n and k 8,192."""
    cluster = load_device("h100-sxm")
    assert cluster is not None
    cost = operator_cost(product(m), cluster.device, Dtype.BF16)
    assert float(cost.duration[0]) * 1e-12 == pytest.approx(measured, rel=0.12)
    assert cost.bound is (Bound.COMPUTE if m > 256 else Bound.MEMORY)
    assert cost.error is not None
    assert 0 < cost.error < 0.08
    assert "aiconfigurator" in cost.source


@pytest.mark.parametrize(
    ("m", "moved", "bound"),
    [
        (64, 1e6, Bound.COMPUTE),
        (8, 1e6, Bound.COMPUTE),
        (7, 1e6, Bound.LATENCY),
        (1, 1e6, Bound.LATENCY),
        (1, 20e6, Bound.MEMORY),
    ],
)
def test_a_product_of_few_rows_waits_for_a_tile_and_not_for_arithmetic(m: int, moved: float, bound: Bound) -> None:
    """64 rows fill one wave of tiles: 8.192 us, and 2 us to launch. Fewer rows take as long, 10.19 us: 8 of them need
    1.024 us at 100 TFLOP/s, 10.05 % of that, and 7 need 0.896 us, 8.8 %. 20 MB take 20 us whatever the tiles hold.
    """
    assert small_product(m, 1000, moved).bound is bound


@pytest.mark.parametrize(("moved", "bound"), [(1.9e6, Bound.LATENCY), (2.1e6, Bound.MEMORY)])
def test_an_operator_that_is_launched_for_longer_than_it_works_is_bound_by_latency(moved: float, bound: Bound) -> None:
    """2 us to launch; 1.9 MB at 1 TB/s are less than that, 2.1 MB more. By traffic, both are: arithmetic has 8 ns."""
    cost = small_product(64, 1, moved)
    assert (cost.bound, cost.by_traffic) == (bound, True)


def small_product(m: int, k: int, moved: float) -> NodeCost:
    """A product of m x 6,400 x k on the machine of 100 TFLOP/s and 1 TB/s."""
    sizes = (("n", 6_400.0), ("k", float(k)), ("products", 1.0), ("cast", 0.0))
    one = Work([2.0 * m * 6_400 * k], [moved], Dtype.BF16, ("gemm/bf16",), sizes, {"m": np.array([float(m)])})
    regime = Regime("gemm", PLAIN, Residuals(0.0, 0.0, 0.0, 1, held_out=False), "made up")
    calibration = Calibration("made up", {"gemm/bf16": regime})
    device = DeviceSpec("gpu", 64e9, 1e12, {Dtype.BF16: 100e12}, 1.0, 1.0, "made up", processors=100)
    return operator_cost(one, replace(device, calibration=calibration), Dtype.BF16)


CITED = [
    ("h100-sxm", "grouped_gemm/bf16", "expert_layer", "bf16", 2221.2e-6,
     {"tokens": 4096, "top": 2, "rows": 8192, "n": 4096, "k": 7168, "products": 8}),
    ("h100-sxm", "grouped_gemm/bf16", "expert_layer", "bf16", 487.4e-6,
     {"tokens": 16, "top": 2, "rows": 32, "n": 4096, "k": 7168, "products": 8}),
    ("h100-sxm", "attention/prefill", "attention_prefill", "bf16", 533.2e-6,
     {"sequences": 1, "context": 4096, "heads": 64, "kv_heads": 8, "key": 128, "value": 128}),
    ("h800-sxm", "mla/decode", "mla_decode", "bf16", 292.0e-6,
     {"sequences": 128, "context": 4096, "heads": 128, "kv_heads": 1, "key": 576, "value": 512}),
    ("h800-sxm", "gemm/fp8_block", "gemm", "fp8_block", 2 * 4096 * 4096 * 7168 / 1265e12,
     {"m": 4096, "n": 4096, "k": 7168, "cast": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("device", "regime", "operator", "dtype", "measured", "row"), CITED)
def test_operators_are_as_measured(
    device: str, regime: str, operator: str, dtype: str, measured: float, row: dict[str, float]
) -> None:
    """Mixtral-8x7B's experts of tp 2 with vLLM 0.14.0, causal attention with vLLM 0.14.0: aiconfigurator @ 095f58a5.

    MLA with 128 heads, 4,096 positions: alibaba/InferSim @ f2293dab. fp8 product: 1,265 TFLOP/s, DeepGEMM @ 55ab91f.
    """
    cluster = load_device(device)
    assert cluster is not None
    spec, how = OPERATORS[operator], ARITHMETIC[dtype]
    columns = {name: np.array([value]) for name, value in {**spec.defaults, **row}.items()}
    machine = Machine(cluster.device.flops[how.peak], cluster.device.bandwidth_bytes_per_second or 1, 132)
    coefficients = load_calibration(device).regimes[regime].coefficients
    found = spec.formula.terms(coefficients, spec.inputs(columns, how), machine).seconds
    assert float(found[0]) == pytest.approx(measured, rel=0.15)


def lab(**regimes: Regime) -> DeviceSpec:
    calibration = Calibration("lab", {name.replace("__", "/"): regime for name, regime in regimes.items()})
    return DeviceSpec("lab", 64e9, 1e12, {Dtype.BF16: 100e12}, 0.5, 0.5, "made up", 100, calibration)


PRODUCTS = Regime("gemm", PLAIN, Residuals(0.07, 0.2, 0.0, 9), "a table", {"m": (1, 512), "n": (1, 9e3)})


def test_past_the_range_of_its_fit_a_cost_says_so() -> None:
    device = lab(gemm__bf16=PRODUCTS)
    inside, outside = (operator_cost(product(m), device, Dtype.BF16) for m in (512, 1024))
    assert inside.source == "gemm/bf16 of lab, fitted: a table"
    assert outside.source == "gemm/bf16 of lab, fitted: a table, extrapolated in m"
    assert outside.error == 0.07


def test_what_has_no_regime_is_priced_by_the_roofline() -> None:
    """2 MB at half of 1 TB/s are 4 us."""
    write = KvWrite(np.array([5e5]), Dtype.BF16, Dtype.BF16)
    cost = operator_cost(write, lab(gemm__bf16=PRODUCTS), Dtype.BF16)
    assert (cost.duration.tolist(), cost.error) == ([4_000_000], None)
    assert cost.source.startswith("roofline")


def test_a_rank_with_more_rows_takes_longer_and_its_shape_is_kept() -> None:
    device = lab(gemm__bf16=PRODUCTS)
    cost = operator_cost(product(512, 1024), device, Dtype.BF16, np.array([1.0, 1.0]))
    assert cost.duration.shape == (2,)
    assert cost.duration[1] > 1.5 * cost.duration[0]


@pytest.mark.parametrize("name", sorted(path.stem for path in (PACKAGE / "catalog" / "calibrations").glob("*.json")))
def test_a_shipped_calibration_is_of_a_device_and_of_known_formulas(name: str) -> None:
    assert name in device_names()
    for key, regime in load_calibration(name).regimes.items():
        formula = FORMULAS[regime.formula]
        assert {p.name for p in formula.parameters} == set(regime.coefficients)
        assert all(0 <= regime.coefficients[p.name] <= p.high for p in formula.parameters)
        assert "@" in regime.source
        assert set(regime.fitted) == (set() if key == "experts/stream" else set(formula.ranged))
