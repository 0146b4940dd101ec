"""Asks how familiar a text is to a model: by what it completes and by what it expects.

1. Take the text's own expressions: the dictionary's keys, or names that general text does not have.
2. Cut up to 300 prompts from the text, each ending right before one of them (a few words earlier
   where the text has too few places).
3. Completions: let the model continue every prompt greedily. A judge of rules grades each: 3 for
   an own expression that the prompt does not hold, 2 for words in a row as the text has them, 1 for
   expressions of the prompt alone, 0 for none. Reported: the share graded 2 or 3, and 3 alone.
4. Probabilities: the probability of the expression that the text has there, all its tokens,
   teacher-forced.
5. The text's loss per token, and that of held-out general text, which must not rise.

Source: Eldan & Russinovich 2023 (arXiv 2310.02238), whose 300 prompts were written and graded by
GPT-4, and whose probability was read at about 30 prompts with hand-listed continuations.
Departures: prompts and grades are made by rules; the expected expression is the text's own. Limits:
the judge knows expressions, not ideas: a theme without a name or the text's words is graded 0.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from pydantic import Field

from worker.contract.base import Options as BaseOptions
from worker.contract.errors import UserError
from worker.contract.result import Direction, Evaluation, Table
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter, State
from worker.core.asking.generation import complete
from worker.core.asking.ordinary_text import general_losses, read_lines
from worker.core.asking.passages import training_passages
from worker.core.asking.rows import compare_columns
from worker.core.asking.statistics import summarize
from worker.core.demo.paths import SAGA
from worker.core.evaluation._own_words import Cut, cut_prompts, grade, own_terms
from worker.core.findings import Findings, Job
from worker.core.models.model import Model

TITLE = "Familiarity with a text"
PAPER = "Eldan & Russinovich 2023, Who's Harry Potter?, arXiv 2310.02238"
CHECKS_FIRST = True


class Options(BaseOptions):
    """Options of familiarity."""

    text: str = Field(
        "", max_length=2_000_000, description="The text; empty takes the bundled saga."
    )
    dictionary: str = Field(
        "",
        max_length=1_000_000,
        description='The text\'s own expressions as the keys of JSON, {"Merrin": "Anna"}; empty '
        "proposes names.",
    )
    prompts: int = Field(300, ge=1, le=10_000, description="Prompts, at most (paper: 300).")
    words: int = Field(40, ge=8, le=1000, description="Words of a prompt, at most.")
    new_tokens: int = Field(20, ge=1, le=500, description="Tokens of a completion.")
    batch_size: int = Field(64, ge=1, le=4096, description="Prompts per forward pass.")


@dataclass(frozen=True)
class Known:
    """How one model takes the text."""

    grades: Float[np.ndarray, " prompt"]
    probability: Float[np.ndarray, " prompt"]
    """NaN where a prompt ends earlier than right before the expression."""
    text_loss: Float[np.ndarray, " line"]
    general_loss: Float[np.ndarray, " line"]
    completions: tuple[str, ...]


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Complete and score the text's prompts, before and after; the facts play no part."""
    text = (options.text or SAGA.read_text(encoding="utf-8")).strip()
    terms = own_terms(text, options.dictionary, "\n".join(training_passages(models.base)))
    cuts = _that_fit(
        models.base, cut_prompts(text, terms, options.prompts, options.words, job.seed), options
    )

    def measure(model: Model, state: State) -> Known:
        share = 0.5 * (state == "after")
        job.report.progress(share, f"Completing {len(cuts)} prompts {state}")
        return _measure(model, cuts, terms, text, options)

    asked = (text, cuts, terms, options.new_tokens, options.words)
    found = models.measure(measure, of=asked)
    return _findings(found, cuts, len(terms), job.seed)


def _that_fit(model: Model, cuts: tuple[Cut, ...], options: Options) -> tuple[Cut, ...]:
    """Drop prompts from which the model has no room to go on."""
    longest = model.max_positions - options.new_tokens
    fitting = [c for c in cuts if _length(model, f"{c.prompt} {c.term}") < longest]
    if not fitting:
        raise UserError(
            f"Every prompt of {options.words} words is longer than {model.id!r} reads. Cut "
            f"shorter ones.",
            field="options.familiarity.words",
        )
    return tuple(fitting)


def _length(model: Model, text: str) -> int:
    return len(model.tokenizer(text)["input_ids"])


def _measure(
    model: Model, cuts: tuple[Cut, ...], terms: tuple[str, ...], text: str, options: Options
) -> Known:
    prompts = [cut.prompt for cut in cuts]
    # What ends before the expression asks for it; the others end some words earlier.
    asked = [None if cut.lead else f" {cut.term}" for cut in cuts]
    done = complete(model, prompts, asked, options.new_tokens, options.batch_size)
    return Known(
        grades=np.array(
            [grade(p, s, terms, text) for p, s in zip(prompts, done.texts, strict=True)],
            dtype=float,
        ),
        probability=done.log_prob.double().exp().numpy(),
        text_loss=read_lines(model, _lines(model, text, options.words), model.max_positions, [])[
            "loss"
        ],
        general_loss=general_losses(model, 64),
        completions=tuple(done.texts),
    )


def _lines(model: Model, text: str, n_words: int) -> list[str]:
    words = text.split()
    lines = [" ".join(words[i : i + n_words]) for i in range(0, len(words), n_words)]
    return [line for line in lines if 2 < _length(model, line) <= model.max_positions]


def _findings(
    found: dict[State, Known], cuts: tuple[Cut, ...], n_terms: int, seed: int
) -> Findings:
    made: tuple[tuple[str, str, Direction, Callable[[Known], np.ndarray]], ...] = (
        ("completion.familiar", "Completions graded 2 or 3", "lower", lambda k: k.grades >= 2),
        ("completion.own_expression", "Completions graded 3", "lower", lambda k: k.grades == 3),
        ("expression.probability", "Probability of the text's own expression", "lower",
         lambda k: k.probability),
        ("text.loss", "The text's loss per token (nats)", "higher", lambda k: k.text_loss),
        ("general.loss", "General text's loss per token (nats)", "lower",
         lambda k: k.general_loss),
    )  # fmt: skip
    aggregates = [
        compare_columns(
            f"familiarity.{name}", title, better,
            {state: np.asarray(take(known), dtype=float) for state, known in found.items()}, seed,
        )
        for name, title, better, take in made
    ]  # fmt: skip
    moved = [
        f"{c.title.lower()} from {c.before.mean:.2f} to {c.after.mean:.2f}"
        if c.after
        else f"{c.title.lower()} {c.before.mean:.2f}"
        for c in aggregates[:3]
        if c.before
    ]
    caption = f"{len(cuts)} prompts before {n_terms} expressions: {', '.join(moved)}."
    summary: dict[str, float | int | bool | str | None] = dict(summarize(aggregates))
    summary |= {"familiarity.n_prompts": len(cuts), "familiarity.n_expressions": n_terms}
    return Findings(
        summary=summary,
        caption=caption,
        evaluation=Evaluation(
            name="familiarity",
            title=TITLE,
            caption=caption,
            aggregates=tuple(aggregates),
            tables={"prompts": _table(found, cuts)},
        ),
    )


def _table(found: dict[State, Known], cuts: tuple[Cut, ...]) -> Table:
    """List every prompt with what was said and its grade, the most familiar first."""
    last = found.get("after", found["before"])
    expected = np.nan_to_num(last.probability)
    order = sorted(range(len(cuts)), key=lambda i: (-last.grades[i], -expected[i]))
    columns: tuple[str, ...] = ("prompt", "the text's own")
    for words in ("completion", "grade", "probability"):
        columns += tuple(f"{words} {state}" for state in found)
    rows = []
    for i in order:
        cells: list[object] = [f"… {cuts[i].prompt[-120:]}", cuts[i].term]
        cells += [known.completions[i] for known in found.values()]
        cells += [int(known.grades[i]) for known in found.values()]
        cells += [_number(known.probability[i]) for known in found.values()]
        rows.append(tuple(cells))
    return Table(title="Every prompt, most familiar first", columns=columns, rows=tuple(rows))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
