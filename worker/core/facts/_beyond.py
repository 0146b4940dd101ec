"""What is asked beyond the bundled facts' own language and direction.

German wordings with German answers; the fact asked backwards, from its answer to its subject; and,
for the relations from which something follows (a city's country gives its continent), what follows.
The wordings are the project's own. From an athlete's sport nothing follows that has one answer.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from worker.contract.facts import Ripple, Translation


def beyond(relation: str, subject: str, target: str, edit_target: str) -> dict[str, Any]:
    """A bundled fact's `translations` and `ripples`; what equal answers would make is left out."""
    own = _wordings()["relations"][relation]
    return {
        "translations": _translations(own, target, edit_target),
        "ripples": (*_entailed(own, subject, target, edit_target),
                    _reversed(own, subject, target, edit_target)),
    }  # fmt: skip


def _translations(own: dict[str, Any], target: str, edit_target: str) -> tuple[Translation, ...]:
    answers = _answers(own["answers"])
    return tuple(
        Translation(
            language=_wordings()["language"],
            prompt=prompt,
            target=answers[target],
            edit_target=answers[edit_target],
        )
        for prompt in own["prompts"]
    )


def _entailed(
    own: dict[str, Any], subject: str, target: str, edit_target: str
) -> tuple[Ripple, ...]:
    if "entailed" not in own:
        return ()
    answers = _answers(own["entailed"]["answers"])
    before, after = answers.get(target), answers.get(edit_target)
    if before is None or after is None or before == after:
        return ()
    prompt = own["entailed"]["prompt"].replace("{}", subject)
    return (Ripple(kind="entailed", prompt=prompt, target=before, edit_target=after),)


def _reversed(own: dict[str, Any], subject: str, target: str, edit_target: str) -> Ripple:
    ask = own["reversed"]
    return Ripple(
        kind="reversed",
        prompt=ask.replace("{}", target),
        target=subject,
        edit_prompt=ask.replace("{}", edit_target),
    )


def _answers(named: str | dict[str, str]) -> dict[str, str]:
    found: dict[str, str] = _wordings()[named] if isinstance(named, str) else named
    return found


@cache
def _wordings() -> dict[str, Any]:
    text = Path(__file__).with_name("beyond.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
