"""Which nodes of a template meet a node elsewhere: its own partner, or a message of another invocation."""

from __future__ import annotations

from dataclasses import dataclass

from dagc.graph.graph import Node, Template
from dagc.ops.communication import Pairing, Pattern


@dataclass(frozen=True, slots=True)
class Message:
    """A message to or from another stage or step. Messages of one direction are matched in their order."""

    sends: bool


def partner_of(node: Node) -> int | None:
    """The send of the same template that a receive meets."""
    talk = node.communication
    return talk.partner if talk and talk.pattern is Pattern.RECEIVE and talk.pairing is Pairing.TEMPLATE else None


def messages(template: Template) -> dict[int, Message]:
    """The sends and receives of a template that meet another invocation, by node."""
    partners = {partner_of(node) for node in template.nodes}
    found: dict[int, Message] = {}
    for index, node in enumerate(template.nodes):
        pattern = node.communication.pattern if node.communication else None
        if pattern in (Pattern.SEND, Pattern.RECEIVE) and index not in partners and partner_of(node) is None:
            found[index] = Message(pattern is Pattern.SEND)
    return found
