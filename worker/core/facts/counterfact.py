"""CounterFact's records: a rewrite with its paraphrases, neighbours and prompts on the new answer.

`requested_rewrite` holds the template, the subject and both answers. Neighbourhood prompts are
about subjects that share the true answer; attribute prompts about subjects of which the new one is
true already, and which must keep it. Generation prompts have no answer and are left out.

Source: Meng et al. 2022, CounterFact (arXiv 2202.05262).
"""

from collections.abc import Iterator
from typing import Any

from worker.core.facts._record import Record, changed, optional, text

TITLE = "CounterFact"
KEYS = ({"requested_rewrite"},)
NONE = "<|endoftext|>"
"""What stands for the true answer in files that know none."""


def rows(record: Record) -> Iterator[dict[str, Any]]:
    """Give the record's fact."""
    rewrite = record["requested_rewrite"]
    if not isinstance(rewrite, dict):
        raise ValueError(f"requested_rewrite is {str(rewrite)[:60]!r}; expected an object")
    neighbours = record.get("neighborhood_prompts") or []
    if not isinstance(neighbours, list):
        raise ValueError(f"neighborhood_prompts is {str(neighbours)[:60]!r}; expected a list")
    row = rewritten(rewrite)
    yield row | {
        "id": optional(record, "case_id") or row["id"],
        "paraphrases": record.get("paraphrase_prompts"),
        "neighbourhood": [one for one in neighbours if not isinstance(one, dict)],
        "edit_neighbourhood": record.get("attribute_prompts") if row["edit_target"] else (),
        "ripples": [{**one, "kind": "kept"} for one in neighbours if isinstance(one, dict)],
    }


def rewritten(rewrite: Record) -> dict[str, Any]:
    """A fact's fields, as a `requested_rewrite` has them."""
    true, relation = optional(rewrite, "target_true"), optional(rewrite, "relation_id")
    return {
        "id": optional(rewrite, "id"),
        "subject": text(rewrite, "subject"),
        "prompt": text(rewrite, "prompt"),
        "question": optional(rewrite, "question"),
        "relation": relation,
        "group": relation,
        **changed("" if true == NONE else true, optional(rewrite, "target_new")),
    }
