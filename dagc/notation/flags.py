"""Reads a command line of an engine: which engine it is for, and the degrees that its flags give.

Turns a text such as `vllm serve m -tp 2 -dp 8 --enable-expert-parallel` into a `Notation` with its tokens. What the
flags mean together is the engine's to say (`dagc.engines.flags`). A flag that is almost one of parallelism, or that
belongs to another engine, is reported: passed over, it would change the size in silence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from dagc.diag.diagnostic import Diagnostic
from dagc.engines.engine import Engine
from dagc.engines.flags import Settings, flag_name, read_settings
from dagc.engines.recorded import recorded_flags
from dagc.engines.registry import engines, get_engine
from dagc.notation.parse import UNREADABLE, Degree, FlatAxis, Notation, Read, judge, read_degrees
from dagc.source import Source, Span
from dagc.units import nearest

_TOKEN = re.compile(r"[^\s\\=]*=?\"[^\"]*\"|[^\s\\=]*=?'[^']*'|[^\s\\]+")
_LAUNCHERS = ("python", "torchrun", "mpirun", "srun")
_AXES = {**{axis.value: axis for axis in FlatAxis}, "moe_tp": FlatAxis.ETP}


def read_notation(source: Source, engine: str | None = None) -> Read:
    """A command line or a flat notation; the text is taken for flags of the engine that `engine` names."""
    tokens = [source.span(*match.span()) for match in _TOKEN.finditer(source.text)]
    if not tokens or not (engine or _is_command_line(tokens)):
        return read_degrees(source)
    return _read_flags(source, tokens, get_engine(engine) if engine else _engine(tokens))


def _is_command_line(tokens: Sequence[Span]) -> bool:
    first = tokens[0].text
    programs = (word for engine in engines() for word in engine.programs)
    is_program = first.startswith((*programs, *_LAUNCHERS)) and len(tokens) > 1
    return is_program or any(re.match(r"--[a-zA-Z]", token.text) for token in tokens) or _is_flag(first)


def _is_flag(token: str) -> bool:
    return token.startswith("-") and any(flag_name(token) in _spellings(engine) for engine in engines())


def _engine(tokens: Sequence[Span]) -> Engine:
    """The engine that the program names, or the first that knows the most of the flags."""
    for token in tokens:
        for engine in engines():
            if not token.text.startswith("-") and any(word in token.text for word in engine.programs):
                return engine
    return max(engines(), key=lambda engine: sum(flag_name(token.text) in _spellings(engine) for token in tokens))


def _spellings(engine: Engine) -> dict[str, str]:
    """The setting of each spelling of a flag that takes a count, or is a switch."""
    return {spelling: flag.setting for flag in engine.flags if not flag.words for spelling in flag.spellings}


def _read_flags(source: Source, tokens: Sequence[Span], engine: Engine) -> Read:
    texts = tuple(token.text.replace('"', "").replace("'", "") for token in tokens)
    problems = [*_strangers(tokens, engine)]
    settings = read_settings(engine.flags, texts)
    if isinstance(settings, str):
        problems.append(
            UNREADABLE.at(source.span(0, len(source.text)), settings, "in these flags", help=(_help(engine),))
        )
        return None, tuple(problems)
    degrees = _degrees(engine, settings, _places(tokens, engine))
    if not degrees and not problems:
        whole = source.span(0, len(source.text))
        message = f"these flags contain no parallelism flag of {engine.title}"
        problems.append(UNREADABLE.at(whole, message, "names no degree", help=(_help(engine),)))
    problems += judge(degrees)
    return (None, tuple(problems)) if problems else (Notation(source, tuple(degrees), engine.name, texts), ())


def _degrees(engine: Engine, settings: Settings, places: Mapping[str, Span]) -> list[Degree]:
    """The degrees that flags give; where expert parallelism is a switch, the degree that it comes to."""
    sizes = engine.sizes_of(settings).sizes
    if "expert_parallel" in settings and sizes is not None and sizes.experts is not None:
        settings = {**settings, "ep": sizes.experts.ep}
        places = {**places, "ep": places["expert_parallel"]}
    return [
        Degree(_AXES[name], value, places[name]) for name, value in settings.items() if name in _AXES and name in places
    ]


def _strangers(tokens: Sequence[Span], engine: Engine) -> Iterator[Diagnostic]:
    """Flags of parallelism that this engine does not have."""
    own = _spellings(engine) | dict.fromkeys(map(flag_name, recorded_flags(engine.name, engine.version)), "")
    foreign = [other for other in engines() if other.name != engine.name]
    for token in tokens:
        name = flag_name(token.text)
        if not name or name in own:
            continue
        others = [other for other in foreign if name in _spellings(other)]
        guess = nearest(name, own) if not others and "paral" in name else None
        if others or guess:
            yield _stranger(token, name, others, guess, engine)


def _stranger(token: Span, name: str, others: Sequence[Engine], guess: str | None, engine: Engine) -> Diagnostic:
    label = f"belongs to {others[0].title}" if others else "unknown"
    help_ = f"did you mean `{guess}`?" if guess else _help(engine)
    return UNREADABLE.at(token, f"`{name}` is not a flag of {engine.title}", label, help=(help_,))


def _places(tokens: Sequence[Span], engine: Engine) -> dict[str, Span]:
    """Where each setting was given: the last of its flags, with its value."""
    own = _spellings(engine)
    found: dict[str, Span] = {}
    for token, following in zip(tokens, [*tokens[1:], tokens[-1]], strict=True):
        setting = own.get(flag_name(token.text))
        if setting is not None:
            found[setting] = token if "=" in token.text or setting == "expert_parallel" else token.to(following)
    return found


def _help(engine: Engine) -> str:
    names = ", ".join(f"`{flag.name}`" for flag in engine.flags if flag.setting in _AXES)
    return f"{engine.title} takes {names}; `--engine` names another engine"
