"""What one running instance of an engine is asked to be: sizes, options beside them, and its part in a deployment."""

from __future__ import annotations

from dataclasses import dataclass

from dagc.degrees import Parallelism


@dataclass(frozen=True, slots=True)
class Instance:
    """One service of a strategy; `sizes.replicas` says how many instances are alike.

    `phase` is `prefill` or `decode` where the other has its own instances. `layers` are those of each stage where they
    were written, `redundant` the expert slots beyond `experts`, the model's (None: unknown or none). `overlap` is 2
    where two halves of a micro-batch hide each other's communication.
    """

    sizes: Parallelism
    phase: str | None = None
    layers: tuple[int, ...] | None = None
    redundant: int = 0
    experts: int | None = None
    overlap: int = 1
    decode_context: int = 1
    sequence_parallel: bool = False
