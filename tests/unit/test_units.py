"""Units by their definition (SI prefixes, IEC binary prefixes), spellings, and figures written for people."""

from __future__ import annotations

import pytest

from dagc.units import (
    Dimension,
    candidates,
    format_bytes,
    format_count,
    format_rate,
    format_seconds,
    format_share,
    leading_words,
    likeliest,
    lookup,
    nearest,
    unit_words,
)


@pytest.mark.parametrize(
    ("text", "dimension", "scale"),
    [
        ("GB", Dimension.BYTES, 1_000_000_000),
        ("GiB", Dimension.BYTES, 1_073_741_824),
        ("TiB", Dimension.BYTES, 1_099_511_627_776),
        ("KB", Dimension.BYTES, 1000),
        ("TB/s", Dimension.BYTE_RATE, 1e12),
        ("GiB/s", Dimension.BYTE_RATE, 1_073_741_824),
        ("Gb/s", Dimension.BYTE_RATE, 125_000_000),
        ("Gbps", Dimension.BYTE_RATE, 125_000_000),
        ("TFLOP/s", Dimension.FLOP_RATE, 1e12),
        ("TFLOPS/s", Dimension.FLOP_RATE, 1e12),
        ("TFlops", Dimension.FLOP_RATE, 1e12),
        ("PFLOP/s", Dimension.FLOP_RATE, 1e15),
        ("GFLOPS", Dimension.FLOP_RATE, 1e9),
        ("s", Dimension.SECONDS, 1),
        ("ms", Dimension.SECONDS, 1 / 1000),
        ("us", Dimension.SECONDS, 1 / 1_000_000),
        ("min", Dimension.SECONDS, 60),
        ("h", Dimension.SECONDS, 3600),
        ("tokens/s", Dimension.TOKEN_RATE, 1),
        ("tokens/ms", Dimension.TOKEN_RATE, 1000),
        ("%", Dimension.SHARE, 1 / 100),
        ("x", Dimension.RATIO, 1),
        ("K", Dimension.COUNT, 1000),
        ("sequences", Dimension.COUNT, 1),
        ("gpus", Dimension.COUNT, 1),
    ],
)
def test_scale(text: str, dimension: Dimension, scale: float) -> None:
    unit = lookup(text)
    assert unit is not None
    assert unit.dimension is dimension
    assert unit.scale == pytest.approx(scale, rel=1e-12)
    assert not unit.per_gpu


def test_b_is_bytes_or_a_billion() -> None:
    assert [unit.dimension for unit in candidates("B")] == [Dimension.BYTES, Dimension.COUNT]
    as_count, as_bytes = lookup("B", Dimension.COUNT), lookup("B", "bytes")
    assert as_count is not None
    assert as_bytes is not None
    assert (as_count.scale, as_bytes.scale) == (1e9, 1)


@pytest.mark.parametrize("text", ["tokens/ms per gpu", "tokens/ms a GPU", "tokens/ms/gpu", "tokens/ms  per  GPU"])
def test_per_gpu(text: str) -> None:
    unit = lookup(text)
    assert unit is not None
    assert (unit.dimension, unit.scale, unit.per_gpu, unit.kind) == (Dimension.TOKEN_RATE, 1000, True, "")


def test_kinds_of_tokens() -> None:
    unit = lookup("output tokens/s per gpu")
    assert unit is not None
    assert (unit.kind, unit.per_gpu) == ("output", True)
    assert lookup("output GB") is None


@pytest.mark.parametrize("text", ["GX", "gb", "tokens/fortnight", "", "per gpu", "GB GB", "Gflopz"])
def test_unknown(text: str) -> None:
    assert lookup(text) is None


def test_dimension_must_fit() -> None:
    assert lookup("GB", Dimension.SECONDS) is None


def test_leading_words_takes_the_longest() -> None:
    assert leading_words(["output", "tokens/ms", "per", "gpu"]) == 4
    assert leading_words(["GB", "bandwidth"]) == 1
    assert leading_words(["output", "routing"]) == 0
    assert leading_words([]) == 0


def test_every_known_word_is_known() -> None:
    assert [word for word in unit_words() if lookup(word) is None] == []
    assert len(set(unit_words())) == len(unit_words())


def test_nearest() -> None:
    assert nearest("epx", ["dp", "pp", "ep"]) == "ep"
    assert nearest("modle", ["cluster", "model"]) == "model"
    assert nearest("DP", ["ep", "dp"]) == "dp"
    assert nearest("mixtral-8x7", ["mixtral-8x7b", "deepseek-v3"]) == "mixtral-8x7b"
    assert nearest("qqq", ["dp", "pp"]) is None
    assert nearest("x", []) is None


def test_words_that_are_equally_near_are_all_named() -> None:
    assert likeliest("epp", ["dp", "pp", "ep", "tp"]) == ("pp", "ep")
    assert nearest("epp", ["dp", "pp", "ep", "tp"]) is None
    assert likeliest("xp", ["dp", "pp", "ep"]) == ("dp", "pp", "ep")
    assert likeliest("gb", ["GB", "Gb"]) == ("GB", "Gb")


def test_a_word_of_other_digits_is_never_near() -> None:
    assert likeliest("h200", ["h20", "h100", "h2000"]) == ()
    assert likeliest("mxfp8", ["mxfp4", "fp8"]) == ("fp8",)


def test_figures() -> None:
    assert format_bytes(80e9) == "80 GB"
    assert format_bytes(1_536_000) == "1.54 MB"
    assert format_bytes(999_999_999) == "1 GB"
    assert format_bytes(0) == "0 B"
    assert format_seconds(1.25) == "1.25 s"
    assert format_seconds(0.0349) == "34.9 ms"
    assert format_seconds(0.9999) == "1 s"
    assert format_seconds(12.5e-6) == "12.5 us"
    assert format_seconds(123.4) == "123 s"
    assert format_share(0.2406) == "24.1 %"
    assert format_share(1) == "100 %"
    assert format_count(128) == "128"
    assert format_count(9999) == "9999"
    assert format_count(10_240) == "10.2 K"
    assert format_count(671e9) == "671 B"
    assert format_count(0.5) == "0.5"
    assert format_rate(1.8e12, "bytes/s") == "1.8 TB/s"
    assert format_rate(400e12, "flop/s") == "400 TFLOP/s"
    assert format_rate(24_320_000) == "24.3 M tokens/s"
    assert format_bytes(-2.5e9) == "-2.5 GB"
