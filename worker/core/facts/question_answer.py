"""Questions with their answers, as MUSE asks what a model still knows of a text (`knowmem`).

The prompt is the question with `Answer:` after it; its subject is whom or what the question names.

Source: Shi et al. 2024, MUSE (arXiv 2407.06460). Its texts are brought under Texts.
"""

from collections.abc import Iterator
from typing import Any

from worker.core.facts._layouts import SECTION
from worker.core.facts._questions import asked
from worker.core.facts._record import Record, answers, optional, text

TITLE = "questions and answers"
KEYS = ({"question", "answer"}, {"question", "answers"})


def rows(record: Record) -> Iterator[dict[str, Any]]:
    """Give the question as a fact; of several answers the first is the target."""
    wordings = answers(record.get("answer", record.get("answers")))
    if not wordings:
        raise ValueError("answer is empty; expected text")
    yield {
        **asked(text(record, "question")),
        "target": wordings[0],
        "aliases": wordings[1:],
        "edit_target": "",
        "group": optional(record, SECTION) or "questions",
    }
