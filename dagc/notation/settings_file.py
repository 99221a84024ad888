"""Adds what a settings file says to the command line that names it: `trtllm-serve m --extra_llm_api_options x.yml`.

TensorRT-LLM takes degrees from either; of the two the file wins (`update_llm_args_with_extra_dict`,
tensorrt_llm/llmapi/llm_args.py). A file that the text itself writes (`cat > x.yml <<EOF`) is there already.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from dagc.diag.diagnostic import Code, Diagnostic
from dagc.source import Source, Span, read_file

SETTINGS_FILE = Code("N147", "settings-file")

_OPTION = re.compile(r"--(?:extra[-_]llm[-_]api[-_]options|config(?:[-_]file)?)[= ]\s*[\"']?(?P<path>[^\s\"']+)")
_PROGRAM = re.compile(r"\btrtllm-")
_LARGEST_BYTES = 1 << 20


def with_settings_file(source: Source, directory: Path) -> Source | Diagnostic:
    """The text with lines of the file behind it, `key: value`; the same text where none is named; N147."""
    option = _OPTION.search(source.text)
    if option is None or not _PROGRAM.search(source.text):
        return source
    if re.search(rf">\s*[\"']?{re.escape(option['path'])}", source.text):
        return source
    place = source.span(*option.span("path"))
    try:
        content = read_file(directory / option["path"], _LARGEST_BYTES).decode("utf-8")
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else "it is not text"
        return _wrong(place, f"cannot read the settings file `{option['path']}`: {reason}")
    lines = _lines(content)
    if lines is None:
        return _wrong(place, f"the settings file `{option['path']}` is not a YAML mapping")
    return Source(source.name, "\n".join([source.text, *lines]))


def _lines(content: str) -> list[str] | None:
    """The settings of the file's top level; sections inside it hold no degrees."""
    import yaml

    try:
        data = cast("Callable[[str], object]", yaml.safe_load)(content)
    except (yaml.YAMLError, RecursionError, ValueError):
        return None
    if not isinstance(data, Mapping):
        return None
    fields = cast("Mapping[object, object]", data)
    return [f"{key}: {value}" for key, value in fields.items() if isinstance(value, bool | int | str)]


def _wrong(place: Span, message: str) -> Diagnostic:
    return SETTINGS_FILE.at(
        place, message, "may hold degrees",
        help=("give the file's path from here, or its lines behind the command: `… enable_attention_dp: true`",),
    )  # fmt: skip
