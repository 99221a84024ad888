"""What mixes tokens in a layer: attention, or a recurrent mixer in its place."""

from __future__ import annotations

from dagc.catalog.model import LayerKind
from dagc.lower.attention import add_attention
from dagc.lower.batch import Batch
from dagc.lower.builder import TemplateBuilder
from dagc.lower.recurrent import add_recurrent
from dagc.lower.stage import Stage


def add_mixer(builder: TemplateBuilder, stage: Stage, batch: Batch, kind: LayerKind) -> None:
    """Add the mixer of a kind of layer; nothing where it has none."""
    if kind.attention:
        add_attention(builder, stage, batch, kind)
    elif kind.recurrent:
        add_recurrent(builder, stage, batch, kind.recurrent)
