"""Reads a command line of an engine: which engine it is for, and the degrees that its flags give.

Turns a text such as `vllm serve m -tp 2 -dp 8 --enable-expert-parallel` into a `Notation` with its tokens. What the
flags mean together is the engine's to say (`dagc.engines.flags`). A flag that is almost one of parallelism, or that
belongs to another engine, is reported: passed over, it would change the size in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from dagc.diag.diagnostic import Diagnostic
from dagc.engines.counted import Settings
from dagc.engines.counting import sizes_of_settings
from dagc.engines.flags import FLAGS, read_settings
from dagc.engines.profiles import ENGINES, profile
from dagc.flat.notation import UNREADABLE, Degree, FlatAxis, Notation, Read, judge, read_degrees
from dagc.source import Source, Span
from dagc.units import nearest

_TOKEN = re.compile(r"[^\s\\=]*=?\"[^\"]*\"|[^\s\\=]*=?'[^']*'|[^\s\\]+")
_PROGRAMS = {"vllm": "vllm", "sglang": "sglang", "trtllm": "trtllm", "pretrain": "megatron", "megatron": "megatron"}
_LAUNCHERS = ("python", "torchrun", "mpirun", "srun")
_AXES = {**{axis.value: axis for axis in FlatAxis}, "moe_tp": FlatAxis.ETP}


def read_notation(source: Source, engine: str | None = None) -> Read:
    """A command line or a flat notation; `engine` takes the text for flags of that engine."""
    tokens = [source.span(*match.span()) for match in _TOKEN.finditer(source.text)]
    if not tokens or not (engine or _is_command_line(tokens)):
        return read_degrees(source)
    return _read_flags(source, tokens, engine or _engine(tokens))


def _is_command_line(tokens: Sequence[Span]) -> bool:
    first = tokens[0].text
    is_program = first.startswith((*_PROGRAMS, *_LAUNCHERS)) and len(tokens) > 1
    return is_program or any(re.match(r"--[a-zA-Z]", token.text) for token in tokens) or _is_flag(first)


def _is_flag(token: str) -> bool:
    return token.startswith("-") and any(_name(token) in _spellings(engine) for engine in ENGINES)


def _engine(tokens: Sequence[Span]) -> str:
    """The engine that the program names, or that knows the most of the flags."""
    for token in tokens:
        for word, engine in _PROGRAMS.items():
            if not token.text.startswith("-") and word in token.text:
                return engine
    known = {engine: sum(_name(token.text) in _spellings(engine) for token in tokens) for engine in ENGINES}
    return max(ENGINES, key=lambda engine: known[engine])


def _name(token: str) -> str:
    """The flag of a token, dashes for underscores; a key of a settings file is the flag of its name."""
    if token.endswith(":"):
        token = f"--{token[:-1]}"
    return token.partition("=")[0].replace("_", "-") if token.startswith("-") else ""


def _spellings(engine: str) -> dict[str, str]:
    """The setting of each spelling."""
    return {one.replace("_", "-"): flag.setting for flag in FLAGS[engine] for one in flag.spellings}


def _read_flags(source: Source, tokens: Sequence[Span], engine: str) -> Read:
    texts = tuple(_unquoted(token.text) for token in tokens)
    problems = [*_strangers(tokens, engine)]
    settings = read_settings(engine, texts)
    if isinstance(settings, str):
        problems.append(
            UNREADABLE.at(source.span(0, len(source.text)), settings, "in these flags", help=(_help(engine),))
        )
        return None, tuple(problems)
    degrees = _degrees(engine, settings, _places(tokens, engine))
    if not degrees and not problems:
        whole = source.span(0, len(source.text))
        message = f"these flags contain no parallelism flag of {profile(engine).title}"
        problems.append(UNREADABLE.at(whole, message, "names no degree", help=(_help(engine),)))
    problems += judge(degrees)
    return (None, tuple(problems)) if problems else (Notation(source, tuple(degrees), engine, texts), ())


def _degrees(engine: str, settings: Settings, places: Mapping[str, Span]) -> list[Degree]:
    """The degrees that flags give; where expert parallelism is a switch, the degree that it comes to."""
    sizes = sizes_of_settings(engine, settings).sizes
    if "expert_parallel" in settings and sizes is not None and sizes.experts is not None:
        settings = {**settings, "ep": sizes.experts.ep}
        places = {**places, "ep": places["expert_parallel"]}
    return [
        Degree(_AXES[name], value, places[name]) for name, value in settings.items() if name in _AXES and name in places
    ]


def _unquoted(text: str) -> str:
    return text.replace('"', "").replace("'", "")


def _strangers(tokens: Sequence[Span], engine: str) -> Iterator[Diagnostic]:
    """Flags of parallelism that this engine does not have."""
    own = _spellings(engine)
    foreign = [other for other in ENGINES if other != engine]
    for token in tokens:
        name = _name(token.text)
        if not name or name in own:
            continue
        others = [other for other in foreign if name in _spellings(other)]
        guess = nearest(name, own) if not others and "paral" in name else None
        if others or guess:
            yield _stranger(token, name, others, guess, engine)


def _stranger(token: Span, name: str, others: Sequence[str], guess: str | None, engine: str) -> Diagnostic:
    label = f"belongs to {profile(others[0]).title}" if others else "unknown"
    help_ = f"did you mean `{guess}`?" if guess else _help(engine)
    return UNREADABLE.at(token, f"`{name}` is not a flag of {profile(engine).title}", label, help=(help_,))


def _places(tokens: Sequence[Span], engine: str) -> dict[str, Span]:
    """Where each setting was given: the last of its flags, with its value."""
    own = _spellings(engine)
    found: dict[str, Span] = {}
    for token, following in zip(tokens, [*tokens[1:], tokens[-1]], strict=True):
        setting = own.get(_name(token.text))
        if setting is not None:
            found[setting] = token if "=" in token.text or setting == "expert_parallel" else token.to(following)
    return found


def _help(engine: str) -> str:
    names = ", ".join(f"`{flag.name}`" for flag in FLAGS[engine] if flag.setting in _AXES)
    return f"{profile(engine).title} takes {names}; `--engine` names another engine"
