"""The circuit's canvas as the page's address holds it: size, what is chosen, pinned, hidden, named.

`groups` is `name=1.mlp,2.attn;-other=…`, the name quoted as in an address, a minus before one that
is collapsed into a node.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlencode

from worker.contract.errors import UserError

Edge = tuple[str, str]
NODE = re.compile(r"input|logits|\d{1,4}\.(attn|mlp)")
INPUT, LOGITS = "input", "logits"
OWN = ("size", "nodes", "pin", "hide", "groups")
"""Names in the address that change how a known circuit is drawn."""
LONGEST_NAME = 60


@dataclass(frozen=True)
class Group:
    """Nodes under one name; a collapsed one is drawn as one node."""

    name: str
    members: tuple[str, ...]
    is_collapsed: bool = False


@dataclass(frozen=True)
class Canvas:
    """What the address says of the canvas. `size` 0: as many edges as carry the difference."""

    size: int = 0
    nodes: tuple[str, ...] = ()
    """Chosen; the last is what the other views show."""
    pinned: tuple[str, ...] = ()
    """Shown also where no edge of the circuit reaches them."""
    hidden: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()

    def pin(self) -> str:
        """The address in which what is chosen is pinned, or no longer."""
        return urlencode({"pin": ",".join(_toggled(self.pinned, self.nodes))})

    def hide(self) -> str:
        """The address in which what is chosen is hidden."""
        hidden = dict.fromkeys((*self.hidden, *self.nodes))
        return urlencode({"hide": ",".join(hidden), "nodes": ""})

    def with_groups(self, groups: tuple[Group, ...]) -> str:
        """The address with other groups."""
        return urlencode({"groups": write_groups(groups)})

    def without_group(self, place: int) -> str:
        """The address in which one group is none."""
        return self.with_groups((*self.groups[:place], *self.groups[place + 1 :]))

    def turned(self, place: int) -> str:
        """The address in which one group is collapsed, or opened."""
        one = self.groups[place]
        turned = Group(one.name, one.members, not one.is_collapsed)
        return self.with_groups((*self.groups[:place], turned, *self.groups[place + 1 :]))


def _toggled(among: tuple[str, ...], chosen: tuple[str, ...]) -> tuple[str, ...]:
    if set(chosen) <= set(among):
        return tuple(one for one in among if one not in chosen)
    return tuple(dict.fromkeys((*among, *chosen)))


def read_canvas(asked: Mapping[str, str]) -> Canvas:
    """Read the canvas of an address; UserError for what is no node, number or group."""
    size = asked.get("size", "")
    if size and not (size.isdecimal() and 0 < int(size) < 10**7 and len(size) < 8):
        raise UserError(
            f"size is {size[:40]!r}; expected how many edges the circuit has, from 1 on.",
            field="size",
        )
    return Canvas(
        size=int(size or 0),
        nodes=_nodes("nodes", asked.get("nodes", "")),
        pinned=_nodes("pin", asked.get("pin", "")),
        hidden=_nodes("hide", asked.get("hide", "")),
        groups=read_groups(asked.get("groups", "")),
    )


def read_edge(text: str) -> Edge | None:
    """Sender and reader of an address (`1.mlp-2.attn`); UserError for what is no edge."""
    if not text:
        return None
    sender, _, reader = text.partition("-")
    if not (NODE.fullmatch(sender) and NODE.fullmatch(reader)):
        raise UserError(
            f"{text[:40]!r} is no edge; expected a sender and a reader, such as 1.mlp-2.attn.",
            field="edge",
        )
    return sender, reader


def read_groups(text: str) -> tuple[Group, ...]:
    """Groups of an address; a node is in the first that names it."""
    found: list[Group] = []
    taken: set[str] = set()
    for part in filter(None, text.split(";")):
        name, _, members = part.partition("=")
        words = unquote(name.removeprefix("-")).strip()[:LONGEST_NAME]
        own = tuple(one for one in _nodes("groups", members) if one not in taken)
        taken |= set(own)
        if NODE.fullmatch(words):
            raise UserError(
                f"A group cannot be named {words!r}, which is a node's name; choose another.",
                field="groups",
            )
        if own and words:
            found.append(Group(words, own, name.startswith("-")))
    return tuple(found)


def write_groups(groups: tuple[Group, ...]) -> str:
    """The same as an address holds it."""
    return ";".join(
        f"{'-' if one.is_collapsed else ''}{_quoted(one.name)}={','.join(one.members)}"
        for one in groups
    )


def _quoted(name: str) -> str:
    return quote(name, safe="").replace("-", "%2D")  # a minus before a name is no part of it


def _nodes(name: str, text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for one in found:
        if not NODE.fullmatch(one):
            raise UserError(
                f"{one[:40]!r} is no node of a circuit; expected a layer and attn or mlp, such as "
                f"2.mlp, or input or logits.",
                field=name,
            )
    return found


def words_of(node: str) -> str:
    """A node as a reader says it."""
    if node in (INPUT, LOGITS):
        return f"the {node}"
    layer, _, kind = node.partition(".")
    return f"{'attention' if kind == 'attn' else 'MLP'} of layer {layer}"
