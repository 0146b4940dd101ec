"""ROME's known facts: what GPT-2 XL completes correctly, with its own prediction.

Source: Meng et al. 2022, Locating and Editing Factual Associations (arXiv 2202.05262).
"""

from collections.abc import Iterator
from typing import Any

from worker.core.facts._record import Record, optional, text

TITLE = "ROME's known facts"
KEYS = ({"subject", "attribute", "template"}, {"subject", "attribute", "prompt"})


def rows(record: Record) -> Iterator[dict[str, Any]]:
    """Give the fact: its attribute is the target."""
    relation = optional(record, "relation_id")
    name = optional(record, "known_id")
    yield {
        **({"id": name} if name else {}),
        "subject": text(record, "subject"),
        "prompt": optional(record, "template") or text(record, "prompt"),
        "target": text(record, "attribute"),
        "edit_target": "",
        "relation": relation,
        "group": relation,
    }
