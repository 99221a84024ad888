"""W138: a device has no arithmetic in a type that the model is stored in, so another stands in for it."""

from __future__ import annotations

from collections.abc import Iterator

from dagc.catalog.device import DeviceSpec
from dagc.catalog.dtype import Dtype
from dagc.check.helpers.labels import label, states
from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.plan.plan import Plan

CODE = Code("W138", "dtype-without-peak", Severity.WARNING)

_FIELDS = ("weight_dtype", "expert_dtype", "activation_dtype")


def check(plan: Plan) -> Iterator[Diagnostic]:
    """One warning for each type and device; only where the plan states its model and a device with some peak."""
    if not states(plan, "model"):
        return
    seen: set[tuple[str, Dtype]] = set()
    for service in plan.deployment.services:
        for pool in service.pools:
            device = plan.device_of(pool)
            is_stated = pool.device is not None or states(plan, "cluster")
            for dtype in _types(plan) if device.flops and is_stated else ():
                if dtype not in device.flops and (device.name, dtype) not in seen:
                    seen.add((device.name, dtype))
                    yield _diagnostic(plan, device, dtype)


def _types(plan: Plan) -> tuple[Dtype, ...]:
    model = plan.facts.model
    return tuple(dict.fromkeys(t for t in (model.weight_dtype, model.expert_dtype, model.activation_dtype) if t))


def _diagnostic(plan: Plan, device: DeviceSpec, dtype: Dtype) -> Diagnostic:
    model = plan.facts.model
    stands_in = model.activation_dtype
    consequence = (
        f"computed at the {stands_in} rate; memory and traffic as {dtype}"
        if stands_in in device.flops
        else f"no times: the device has {', '.join(device.flops)} alone"
    )
    return CODE.at(
        plan.deployment.strategy.body.outer,
        f"`{device.name}` has no {dtype} arithmetic, and {model.name} is stored in it",
        consequence,
        labels=label(model.spans, f"{dtype} here", *_FIELDS, "dtype"),
        help=(f"use a device with a {dtype} rate, or state it: `compute {{ {dtype} … }}`",),
    )
