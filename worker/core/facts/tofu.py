"""TOFU's questions with their perturbed answers, and its options on real authors and the world.

Perturbed answers, and options, are wrong answers beside the target; the paraphrased answer is
another wording of it, the paraphrased question another prompt.

Source: Maini et al. 2024, TOFU (arXiv 2401.06121).
"""

from collections.abc import Iterator
from typing import Any

from worker.core.facts._questions import ANSWER, QUESTION, asked
from worker.core.facts._record import Record, answers, optional, text

TITLE = "TOFU"
_OPTIONS = tuple(f"option{n}" for n in range(1, 11))
KEYS = (
    {"question", "answer", "perturbed_answer"},
    {"question", "answer", "paraphrased_answer"},
    {"question", "answer", "paraphrased_question"},
    {"question", "answer", "option1"},
)


def rows(record: Record) -> Iterator[dict[str, Any]]:
    """Give the question as a fact with its wrong answers."""
    target = text(record, "answer")
    wrong = (*answers(record.get("perturbed_answer")), *(optional(record, o) for o in _OPTIONS))
    again = answers(record.get("paraphrased_question"))
    yield {
        **asked(text(record, "question")),
        "target": target,
        "aliases": [a for a in answers(record.get("paraphrased_answer")) if a != target],
        "options": [one for one in dict.fromkeys(wrong) if one and one != target],
        "paraphrases": [f"{QUESTION}{one}{ANSWER}" for one in again],
        "edit_target": "",
        "group": "questions",
    }
