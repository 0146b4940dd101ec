"""zsRE's questions, as MEND and EasyEdit give them, and as MEND was trained on them.

`answers` are the true answer and its other wordings, `alt` (of MEND's training file the first of
`alternatives`) the answer that an edit asks for. `loc` is a question on something else whose answer
must be kept. `portability` asks what follows after the edit.

Source: Levy et al. 2017 (arXiv 1706.04115); De Cao et al. 2021 (arXiv 2104.08164); Mitchell et al.
2022, MEND (arXiv 2110.11309); Yao et al. 2023 (arXiv 2305.13172) for portability.
"""

from collections.abc import Iterator
from typing import Any

from worker.core.facts._questions import names_in
from worker.core.facts._record import Record, answers, changed, objects, optional, text

TITLE = "zsRE"
KEYS = (
    {"src", "answers"},
    {"src", "alt"},
    {"src", "rephrase", "answers", "alt"},
    {"input", "output", "alternatives"},
)
_PREFIX = "nq question: "


def rows(record: Record) -> Iterator[dict[str, Any]]:
    """Give the question as a fact: its prompt is the question, as the authors ask it."""
    trained = "input" in record
    question = text(record, "input" if trained else "src")
    true = answers([o.get("answer") for o in objects(record.get("output"))] if trained
                   else record.get("answers"))  # fmt: skip
    new = answers(record.get("alternatives")) if trained else (optional(record, "alt"),)
    again = record.get("filtered_rephrases") if trained else record.get("rephrase")
    row = {
        "subject": _subject(record) or max(names_in(question), key=len, default=question),
        "prompt": question,
        "question": question,
        "paraphrases": answers(again),
        "ripples": [*_kept(record), *_entailed(record)],
        "group": "zsRE",
        **changed(true[0] if true else "", new[0] if new else ""),
    }
    yield row | {"aliases": [one for one in true[1:] if one != row["edit_target"]]}


def _subject(record: Record) -> str:
    meta = record.get("meta")
    sub_surface = optional(meta, "sub_surface") if isinstance(meta, dict) else ""
    return optional(record, "subject") or sub_surface


def _kept(record: Record) -> Iterator[dict[str, Any]]:
    question, answer = optional(record, "loc").removeprefix(_PREFIX), optional(record, "loc_ans")
    if question and answer:
        asked = question if question.endswith("?") else f"{question}?"
        yield {"kind": "kept", "prompt": asked, "target": answer}


def _entailed(record: Record) -> Iterator[dict[str, Any]]:
    for one in objects(record.get("portability")):
        question, answer = optional(one, "New Question"), optional(one, "New Answer")
        if question and answer:
            yield {"kind": "entailed", "prompt": question, "edit_target": answer}
