"""What a verdict rests on: how likely the answers are before and after, by format and attack."""

from collections.abc import Mapping

from app.drawing.bars import draw_bars
from app.drawing.drawing import Drawing, Offer, Source
from worker.contract.result import Result, Table

TITLE = "Before and after, by format and attack"
ROWS = {
    "statement.forget": "own prompt",
    "paraphrase_held_out.forget": "held-out paraphrases",
    "paraphrase.forget": "paraphrases",
    "question.forget": "questions",
    "choice.forget": "multiple choice",
    "relearning.lora.held_out": "after relearning the other half",
    "relearning.unrelated.held_out": "after training on other facts",
    "quantization.4.forget": "weights rounded to 4 bits",
    "statement.retain": "kept: own prompt",
    "choice.retain": "kept: multiple choice",
    "neighbourhood": "kept: neighbours",
    "others": "kept: facts of other kinds",
}
"""Named numbers of a verdict that are probabilities of an answer, in words."""


def offers(result: Result) -> list[Offer]:
    """One offer where the result holds a verdict."""
    return [Offer("verdict_bars", TITLE)] if _rows(result) else []


def draw(source: Source, ask: Mapping[str, str]) -> Drawing:
    """Draw a bar for the base and one for the edited model in every format and attack."""
    rows = _rows(source.result)
    return draw_bars(
        title=TITLE,
        caption="Mean probability of the answer. The first rows ask the facts that were to go, "
        "the rows named “kept” those that were to stay. Attacks are made on the edited model only.",
        labels=[row[0] for row in rows],
        series={"before": [row[1] for row in rows], "after": [row[2] for row in rows]},
        unit="probability of the answer",
        cells=Table(title=TITLE, columns=("asked as", "before", "after"), rows=tuple(rows)),
        span=(0, 1),
        y_title="asked as",
    )


def _rows(result: Result) -> list[tuple[str, float | None, float | None]]:
    found = []
    for name, words in ROWS.items():
        before, after = (_number(result, f"verdict.{name}.{when}") for when in ("before", "after"))
        if before is not None or after is not None:
            found.append((words, before, after))
    return found


def _number(result: Result, name: str) -> float | None:
    value = result.summary.get(name)
    return float(value) if isinstance(value, int | float) else None
