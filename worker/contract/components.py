"""Names of components, in TransformerLens' numbering: `blocks.3.mlp`, `blocks.3.attn.head.5`."""

import re
from dataclasses import dataclass

from worker.contract.errors import UserError

_PATTERN = re.compile(r"^blocks\.(\d+)\.(mlp|attn)(?:\.head\.(\d+))?$")


@dataclass(frozen=True, order=True)
class Component:
    """One MLP, one whole attention, or one attention head (`head` is its zero-based index)."""

    layer: int
    kind: str
    head: int | None = None

    def __str__(self) -> str:
        name = f"blocks.{self.layer}.{self.kind}"
        return name if self.head is None else f"{name}.head.{self.head}"


def parse_component(name: str) -> Component:
    """Parse a component's name; raise UserError with the expected form."""
    match = _PATTERN.match(name)
    if not match or (match[3] is not None and match[2] == "mlp"):
        raise UserError(
            f"{name!r} is no component; expected blocks.LAYER.mlp, blocks.LAYER.attn or "
            f"blocks.LAYER.attn.head.HEAD, for example blocks.3.mlp.",
            field="mask.components",
        )
    return Component(int(match[1]), match[2], None if match[3] is None else int(match[3]))
