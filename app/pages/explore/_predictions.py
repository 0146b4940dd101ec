"""Predictions: the likeliest next tokens of each prompt and model, and how they go on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from worker.contract.result import Result

SHOWN, SHOWN_BESIDE = 10, 12
K = 40
"""Tokens that are asked for where two models are laid side by side: most are among both."""


@dataclass(frozen=True)
class Said:
    """A token as one model sees it; `probability` None below its top-k."""

    probability: float | None = None
    logit: float | None = None
    rank: int | None = None

    @property
    def share(self) -> float:
        """Per cent, for the bar."""
        return round(100 * (self.probability or 0.0), 2)


@dataclass(frozen=True)
class Line:
    """One token in every model."""

    token: str
    id: int | None
    of: str
    """`target`, `distractor` or empty."""
    said: tuple[Said, ...]

    @property
    def change(self) -> float | None:
        """Probability in the second model less that in the first."""
        known = [one.probability for one in self.said]
        if len(known) < 2 or known[0] is None or known[1] is None:
            return None
        return known[1] - known[0]


@dataclass(frozen=True)
class Prompt:
    """One prompt with its tokens, and what comes next in each model."""

    name: str
    text: str
    tokens: tuple[dict[str, Any], ...]
    noise: bool
    lines: tuple[Line, ...]


def prompts_of(found: Sequence[Result]) -> list[Prompt]:
    """Every prompt as all models continue it."""
    return [_prompt(found, one) for one in found[0].view["prompts"]]


def _prompt(found: Sequence[Result], one: dict[str, Any]) -> Prompt:
    name = one["name"]
    tops = [{r["id"]: r for r in f.view["top"] if r["prompt"] == name} for f in found]
    order: dict[int, str] = {}
    for place in range(SHOWN if len(found) == 1 else SHOWN_BESIDE // 2):
        for top in tops:
            row = next((r for i, r in enumerate(top.values()) if i == place), None)
            if row is not None:
                order.setdefault(row["id"], row["token"])
    answers = _answers(found[0])
    lines = [
        Line(token, id, answers.get(id, ""), tuple(_said(top.get(id)) for top in tops))
        for id, token in order.items()
    ]
    return Prompt(
        name=name,
        text=one["text"],
        tokens=tuple(one["tokens"]),
        noise=bool(one.get("noise")),
        lines=(*lines, *_others(found, name, set(order))),
    )


@dataclass(frozen=True)
class Continued:
    """One prompt and how each model goes on."""

    name: str
    text: str
    texts: tuple[str, ...]


def continued_prompts(found: Sequence[Result]) -> list[Continued]:
    """Every prompt as all models go on after it, greedily."""
    return [
        Continued(
            one["name"],
            one["text"],
            tuple(
                next((c["text"] for c in f.view["continuation"] if c["prompt"] == one["name"]), "")
                for f in found
            ),
        )
        for one in found[0].view["prompts"]
    ]


def _said(row: dict[str, Any] | None) -> Said:
    return Said(row["probability"], row["logit"], row["rank"] + 1) if row else Said()


def _answers(result: Result) -> dict[int, str]:
    """Id of an answer of one token -> which answer it is."""
    found = {}
    for which in ("distractor", "target"):
        answer = result.view.get(which)
        if answer and len(answer["ids"]) == 1:
            found[int(answer["ids"][0])] = which
    return found


def _others(found: Sequence[Result], name: str, shown: set[int]) -> list[Line]:
    """Target and distractor where they are not among the shown: of several tokens, or unlikely."""
    lines = []
    for which in ("target", "distractor"):
        answer = found[0].view.get(which)
        if not answer or (len(answer["ids"]) == 1 and int(answer["ids"][0]) in shown):
            continue
        rows = [
            next(
                (
                    a
                    for a in f.view["answers"]
                    if a["prompt"] == name and a["answer"] == which and a["text"] == answer["text"]
                ),
                None,
            )
            for f in found
        ]
        lines.append(Line(answer["text"], None, which, tuple(map(_said, rows))))
    return lines
