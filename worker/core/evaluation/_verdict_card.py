"""The verdict as a card: seven plain questions, each answered by the row that decides it."""

from collections.abc import Sequence

from worker.contract.result import Table
from worker.core.evaluation._verdict_terms import NO_POWER, About, Answer

CARD: tuple[tuple[About, str, str], ...] = (
    ("known", "Did the model know it before?", "known"),
    ("said", "Does it still say it?", "said"),
    ("spread", "Is it forgotten in every wording?", "forgotten"),
    ("back", "Can it be brought back?", "back"),
    ("read", "Can it still be read inside the model?", "read"),
    ("kept", "Does the model keep its other facts?", ""),
    ("text", "Does it write ordinary text as before?", ""),
)
"""What its rows are about, the question, and what "yes" means in the rows' rules."""
GOOD = {"said": "no", "spread": "yes", "back": "no", "read": "no", "kept": "yes", "text": "yes"}
"""The answers that whoever wanted the facts gone hopes for."""
COLUMNS = ("question", "answer", "tone", "because", "number")


def card(answers: Sequence[Answer], meaning: str) -> Table:
    """Answer every plain question by one row of the verdict, with its number and real cut.

    The table's title is the verdict's `meaning`; `tone` is `good`, `bad`, or empty where nothing
    can be said or hoped for.
    """
    rows = []
    for about, question, verb in CARD:
        of = [answer for answer in answers if answer.about == about]
        if not of:
            continue
        said, row = _settled(about, of)
        tone = "" if said == NO_POWER or about not in GOOD else "bad"
        tone = "good" if said == GOOD.get(about) else tone
        rows.append((question, said, tone, _because(row, verb), row.number))
    return Table(title=meaning, columns=COLUMNS, rows=tuple(rows))


def _settled(about: About, of: Sequence[Answer]) -> tuple[str, Answer]:
    """The plain answer, and the row that settles it."""
    if about in ("kept", "text"):
        return _worst(of)
    decided = [answer for answer in of if answer.is_decided]
    if about == "spread" and decided:
        failed = [answer for answer in decided if answer.answer == "no"]
        word = "yes" if not failed else "no" if len(failed) == len(decided) else "not in all"
        return word, max(failed or decided, key=lambda answer: answer.value or 0.0)
    if found := [answer for answer in decided if answer.answer == "yes"]:
        return "yes", found[0]
    # The first attack finds most: where it found nothing out, the others' silence says little.
    return ("no", of[0]) if of[0].is_decided else (NO_POWER, of[0])


def _worst(of: Sequence[Answer]) -> tuple[str, Answer]:
    for answer, word in (("broken", "no"), ("harmed", "harmed"), ("no", "yes")):
        if found := [one for one in of if one.answer == answer]:
            return word, found[0]
    return NO_POWER, of[0]


def _because(row: Answer, verb: str) -> str:
    """The number, what it is of, and the cut on its own scale."""
    if not row.is_decided:
        return row.answer.removeprefix(NO_POWER).removeprefix(": ") or "no rule could decide it"
    cut = row.rule.partition(":")[0]
    cut = cut.replace("yes", verb, 1) if verb else cut
    value = "–" if row.value is None else f"{row.value:.2f}"
    return f"{value} for {row.short or 'its own prompt'}; {cut}"
