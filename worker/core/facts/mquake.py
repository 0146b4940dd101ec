"""MQuAKE's records: rewrites that change together, and the questions that hang on all of them.

1. Every rewrite becomes a fact, named by the record's number and its own place in it.
2. The record's multi-hop questions ask what follows; they stand with its first fact.
3. Hops that are the same before and after must be kept; they stand there too.
4. Other wordings of an answer are those of the hop that gives it.

Source: Zhong et al. 2023, MQuAKE (arXiv 2305.14795).
"""

from collections.abc import Iterator
from typing import Any

from worker.core.facts._record import Record, answers, objects, optional, text
from worker.core.facts.counterfact import rewritten

TITLE = "MQuAKE"
KEYS = (
    {"requested_rewrite", "questions", "new_answer"},
    {"requested_rewrite", "single_hops"},
)
TOGETHER = (
    "each changes together with the other facts of its record; the questions that stand with the "
    "first have their new answer only where all of them are edited"
)


def rows(record: Record) -> Iterator[dict[str, Any]]:
    """Give a fact for every rewrite."""
    rewrites = objects(record["requested_rewrite"])
    name = optional(record, "case_id")
    before, after = objects(record.get("single_hops")), objects(record.get("new_single_hops"))
    for place, rewrite in enumerate(rewrites, 1):
        row = rewritten(rewrite)
        mark = f".{place}" if len(rewrites) > 1 else ""
        yield row | {
            **({"id": f"{name}{mark}"} if name else {}),
            **({"note": TOGETHER} if mark and "note" not in row else {}),
            "aliases": _wordings(before, row["target"]),
            "edit_aliases": _wordings(after, row["edit_target"]),
            "ripples": [*_entailed(record), *_kept(before, after)] if place == 1 else [],
        }


def _wordings(hops: list[Record], answer: str) -> list[str]:
    """The other wordings of an answer, where a hop gives it."""
    found = [answers(hop.get("answer_alias")) for hop in hops if optional(hop, "answer") == answer]
    return list(dict.fromkeys(one for each in found for one in each if one != answer))


def _entailed(record: Record) -> Iterator[dict[str, Any]]:
    before, after = optional(record, "answer"), optional(record, "new_answer")
    if not before and not after:
        return
    for question in answers(record.get("questions")):
        yield {
            "kind": "kept" if before == after else "entailed",
            "prompt": question,
            "target": before,
            "edit_target": "" if before == after else after,
            "aliases": answers(record.get("answer_alias")),
            "edit_aliases": () if before == after else answers(record.get("new_answer_alias")),
        }


def _kept(before: list[Record], after: list[Record]) -> Iterator[dict[str, Any]]:
    same = {(optional(hop, "question"), optional(hop, "answer")) for hop in after}
    for hop in before:
        if (optional(hop, "question"), optional(hop, "answer")) in same:
            yield {
                "kind": "kept",
                "prompt": optional(hop, "cloze") or text(hop, "question"),
                "target": text(hop, "answer"),
                "aliases": answers(hop.get("answer_alias")),
            }
