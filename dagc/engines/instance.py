"""One running instance of an engine: what a plan asks of it, where it runs, and the command that starts it."""

from __future__ import annotations

from dataclasses import dataclass

from dagc.degrees import Parallelism

SETTINGS_FILE = "settings.yaml"


@dataclass(frozen=True, slots=True)
class Instance:
    """One service of a strategy as an engine runs it; `sizes.replicas` says how many equal instances there are.

    `phase` is `prefill` or `decode` where the other has its own instances. `layers` are those of each stage where they
    were written, `redundant` the expert slots beyond `experts`, the model's (None: unknown or none). `overlap` is 2
    where two halves of a micro-batch hide each other's communication. `exchange` is `gather` or `deepep` where it was
    written.
    """

    sizes: Parallelism
    phase: str | None = None
    layers: tuple[int, ...] | None = None
    redundant: int = 0
    experts: int | None = None
    overlap: int = 1
    decode_context: int = 1
    sequence_parallel: bool = False
    exchange: str | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options that not every engine has, as far as they are written."""
        written = {
            "layers": bool(self.layers),
            "redundant": self.redundant > 0,
            "overlap": self.overlap > 1,
            "dcp": self.decode_context > 1,
            "exchange": self.exchange is not None,
        }
        return tuple(name for name, is_written in written.items() if is_written)


@dataclass(frozen=True, slots=True)
class Host:
    """Where an instance runs: the model's name or path, and GPUs a node."""

    model: str
    gpus_per_node: int

    def nodes(self, instance: Instance) -> int:
        """Nodes of an instance, each with as many of its GPUs: the fewest that hold them."""
        gpus = instance.sizes.gpus_per_replica
        return gpus // max(each for each in range(1, self.gpus_per_node + 1) if gpus % each == 0)


@dataclass(frozen=True, slots=True)
class Command:
    """The command that starts one instance, run on each of `nodes` nodes.

    `flags` are those of parallelism, which `Engine.read` reads back; `others` are what the engine's own guide asks for,
    with `$HEAD` for the address of the first node and `$NODE` for the number of a node. `file` has the lines of a
    settings file.
    """

    program: tuple[str, ...]
    flags: tuple[str, ...]
    others: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    file: tuple[str, ...] = ()
    nodes: int = 1

    @property
    def tokens(self) -> tuple[str, ...]:
        """Program and flags, without the environment."""
        return (*self.program, *self.flags, *self.others)

    @property
    def line(self) -> str:
        """The command as a person types it; the settings file is written before."""
        words = [f"{name}={value}" for name, value in self.environment] + [_quoted(token) for token in self.tokens]
        if not self.file:
            return " ".join(words)
        text = "\\n".join(self.file)
        return f"printf '{text}\\n' > {SETTINGS_FILE} && {' '.join(words)}"


def _quoted(token: str) -> str:
    """Variables stay open to the shell; everything else that a shell would read is quoted."""
    from shlex import quote

    return f'"{token}"' if token.startswith("$") else quote(token)


def layer_partition(variable: str, instance: Instance) -> tuple[tuple[str, str], ...]:
    """The layers of each stage as an environment variable; none where they were not written."""
    return ((variable, ",".join(map(str, instance.layers))),) if instance.layers else ()
