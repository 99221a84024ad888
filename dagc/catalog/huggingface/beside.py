"""Quantisation that a `config.json` does not state itself.

ModelOpt writes it to `hf_quant_config.json` beside `config.json`: that file is read where it lies there. Where it does
not, and the name of the checkpoint says that it is quantised, the weights are not stored as the configuration
says; nothing but the name tells how, so the figures are those of the configuration, with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from dagc.diag.diagnostic import Code, Diagnostic, Severity
from dagc.source import Span

QUANTISATION_ELSEWHERE = Code("W142", "quantisation-elsewhere", Severity.WARNING)

BESIDE = "hf_quant_config.json"
_SUFFIX = re.compile(
    r"(?:^|[-_. ])(fp8|fp4|nvfp4|mxfp4|mxfp8|int4|int8|w4a16|w4a8|w4a4|w8a8|w8a16|awq|gptq|[2-8]bit|q[2-8]|bnb)"
    r"(?=$|[-_. ])",
    re.IGNORECASE,
)
_DTYPES = {"fp8": "fp8", "fp4": "nvfp4", "nvfp4": "nvfp4", "mxfp4": "mxfp4", "int4": "int4", "int8": "int8",
           "awq": "int4", "gptq": "int4", "w4a16": "int4", "w8a8": "int8"}  # fmt: skip


def section_of(data: object) -> Mapping[str, Any] | None:
    """What `quantization_config` would say, from a parsed `hf_quant_config.json`; None where it has no such section."""
    section = cast("Mapping[str, Any]", data).get("quantization") if isinstance(data, Mapping) else None
    if not isinstance(section, Mapping):
        return None
    return {"quant_method": "modelopt", **cast("Mapping[str, Any]", section)}


def name_warnings(names: tuple[str, ...], path: Path | None, span: Span | None) -> tuple[Diagnostic, ...]:
    """W142 where a name of a checkpoint says that it is quantised, or a file beside it, and its configuration does not.

    A file beside one of another name than `config.json` may be of another checkpoint, and is not read.
    """
    found = next(((name, match.group(1)) for name in names if (match := _SUFFIX.search(name))), None)
    if found is not None:
        reason, dtype = f"the name says {found[1]}", _DTYPES.get(found[1].lower(), "fp8")
        where = f"put the checkpoint's `{BESIDE}` beside its `config.json`" if path else "add its `quantization_config`"
    elif path is not None and path.with_name(BESIDE).is_file():
        reason, dtype, where = f"there is a `{BESIDE}` beside it", "fp8", "name the file `config.json`"
    else:
        return ()
    return (
        QUANTISATION_ELSEWHERE.at(
            span,
            f"the configuration of `{found[0] if found else names[0]}` has no `quantization_config`, and {reason}",
            "counted as stored in the type of activations",
            notes=("weights are counted as the file states them; the checkpoint may state another type elsewhere",),
            help=(f'{where}, or state the type: `model "config.json" {{ dtype {dtype} }}`',),
        ),
    )
