"""Command-line flags of an engine: tokens become settings, and settings become tokens.

What is no flag of the table is passed over, with its value. Values are counts; another is a refusal with the flag's
name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

Settings = Mapping[str, int]
"""An engine's own settings by short name: a degree, or 1 for a switch that is on. What is absent is at its default."""

_TRUE = ("true", "1", "yes", "on")
_FALSE = ("false", "0", "no", "off")


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of an engine: its full name, the setting that it gives, and other spellings.

    A switch takes no value. A flag with `words` takes a word, and sets 1 for one of these, else 0. All others take a
    count of at least `minimum`, and are left out at the `default` (0: the engine has none, so they are always written).
    `is_key`: it is a key of the engine's settings file, and a flag of its name is read as it.
    """

    name: str
    setting: str
    others: tuple[str, ...] = ()
    is_switch: bool = False
    words: tuple[str, ...] = ()
    default: int = 1
    minimum: int = 1
    is_key: bool = False

    @property
    def spellings(self) -> tuple[str, ...]:
        """All names, with dashes: engines take dashes and underscores alike."""
        name = f"--{self.name}" if self.is_key else self.name
        return tuple(_dashed(one) for one in (name, *self.others))

    def read(self, value: str) -> int | None:
        """The setting of a value; None for what is no count."""
        if self.words:
            return int(value in self.words)
        if self.is_switch:
            return int(not value or value.lower() in _TRUE)
        is_count = value.isdecimal() and value.isascii() and len(value) < 10 and int(value) >= self.minimum
        return int(value) if is_count else None


def write_flags(flags: Sequence[Flag], settings: Settings) -> tuple[str, ...]:
    """The tokens that give these settings; what is at its default is left out."""
    tokens: list[str] = []
    for flag in flags:
        value = settings.get(flag.setting, 0)
        if flag.is_switch and value:
            tokens.append(flag.name)
        elif value > flag.default and not flag.is_switch:
            tokens += (flag.name, str(value))
    return tuple(tokens)


def read_settings(flags: Sequence[Flag], tokens: Sequence[str]) -> Settings | str:
    """The settings that tokens give, `--flag value` or `--flag=value`, or which token has no count.

    The last of a flag wins. Lines of a settings file may be among them, as the tokens `enable_attention_dp:` and
    `true`.
    """
    settings: dict[str, int] = {}
    known = {spelling: flag for flag in flags for spelling in flag.spellings}
    for name, value in _pairs(tokens, known):
        if name in known:
            number = known[name].read(value)
            if number is None:
                return f"`{name}` takes a count of at least 1, and {f'`{value}`' if value else 'nothing'} was given"
            settings[known[name].setting] = number
    return settings


def _pairs(tokens: Sequence[str], known: Mapping[str, Flag]) -> Iterator[tuple[str, str]]:
    """Flags with their values; a flag without one, and a switch, has ''."""
    position = 0
    while position < len(tokens):
        name, has_value, value = _as_flag(tokens[position]).partition("=")
        position += 1
        takes = name.startswith("-") and (name not in known or not known[name].is_switch or _is_truth(tokens, position))
        if takes and not has_value and position < len(tokens) and not tokens[position].startswith("-"):
            value = tokens[position]
            position += 1
        yield name, value


def _as_flag(token: str) -> str:
    """A token as a flag: a key of a settings file (`enable_attention_dp:`) becomes the flag of its name."""
    name, sign, value = token.partition("=")
    if name.endswith(":") and not name.startswith("-"):
        name = f"--{name[:-1]}"
    return f"{_dashed(name)}{sign}{value}" if name.startswith("-") else token


def flag_name(token: str) -> str:
    """The flag of a token, without its value; '' for a token that is no flag."""
    found = _as_flag(token)
    return found.partition("=")[0] if found.startswith("-") else ""


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _is_truth(tokens: Sequence[str], position: int) -> bool:
    return position < len(tokens) and tokens[position].lower() in (*_TRUE, *_FALSE)
