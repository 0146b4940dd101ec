"""ROME's known facts: what GPT-2 XL completes correctly, with its own prediction.

The prompt is what was asked. It may go on beyond the template filled with the subject, up to the
place where the model gave the answer (`… the continent` and `… the continent of`).

Source: Meng et al. 2022, Locating and Editing Factual Associations (arXiv 2202.05262).
"""

from collections.abc import Iterator
from typing import Any

from worker.contract.facts import fill
from worker.core.facts._record import Record, optional, text

TITLE = "ROME's known facts"
KEYS = ({"subject", "attribute", "template"}, {"subject", "attribute", "prompt"})


def rows(record: Record) -> Iterator[dict[str, Any]]:
    """Give the fact: its attribute is the target."""
    subject, relation = text(record, "subject"), optional(record, "relation_id")
    name = optional(record, "known_id")
    yield {
        **({"id": name} if name else {}),
        "subject": subject,
        "prompt": _prompt(record, subject),
        "target": text(record, "attribute"),
        "edit_target": "",
        "relation": relation,
        "group": relation,
    }


def _prompt(record: Record, subject: str) -> str:
    """The prompt as it was asked, with the subject's place where the template tells it."""
    template, prompt = optional(record, "template"), optional(record, "prompt")
    if not template or not prompt:
        return template or text(record, "prompt")
    filled = fill(template, subject)
    return template + prompt[len(filled) :] if prompt.startswith(filled) else prompt
