"""A row's prompts made ready to be asked: the seam, the blank, and the subject's place."""

from collections.abc import Iterable, Mapping
from typing import Any

from worker.contract.subjects import find_subject, read_which
from worker.core.facts._blank import ask_at_blank
from worker.core.facts._seam import read_seam

_LISTS = ("paraphrases", "neighbourhood", "edit_neighbourhood")


def ready(values: Mapping[str, Any], written: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """Return the row's fields as they are asked, and what a reader should know of how.

    `values` are trimmed cells, `written` the cells as they were. ValueError with the reason for a
    row that cannot be asked.
    """
    which = read_which(str(values.get("occurrence", "")))
    found: dict[str, Any] = {k: v for k, v in values.items() if k != "occurrence"}
    found |= read_seam(found, written)
    whole = found["prompt"]
    prompt, told = ask_at_blank(whole)
    _refuse_after_blank(whole, prompt, found["subject"])
    notes = [told]
    if "{}" not in prompt:
        place = find_subject(prompt, found["subject"], which)
        prompt = f"{prompt[: place.start]}{{}}{prompt[place.stop :]}"
        found["subject"] = place.subject
        notes.append(place.note)
    found["prompt"] = prompt
    for field in _LISTS:
        found[field], left_out = _texts(found.get(field, ()))
        notes += [f"{field}: {reason}" for reason in left_out]
    found["translations"], left_out = _translated(found.get("translations", ()))
    notes += [f"translations: {reason}" for reason in left_out]
    return found, "; ".join(note for note in notes if note)


def _refuse_after_blank(whole: str, prompt: str, subject: str) -> None:
    """Raise ValueError where the subject stands behind the blank only."""
    rest = whole[len(prompt) :]
    if any(place not in prompt and place in rest for place in ("{}", subject) if rest):
        raise ValueError(
            f"the subject {subject!r} stands after the blank, and a model reads from left to "
            f"right; expected a prompt that names it before the answer"
        )


def _texts(prompts: Iterable[str]) -> tuple[tuple[str, ...], list[str]]:
    """Prompts cut at their blanks, and why others are left out."""
    kept, reasons = [], []
    for prompt in prompts:
        try:
            kept.append(ask_at_blank(prompt)[0])
        except ValueError as error:
            reasons.append(f"{prompt[:60]!r} is left out, because {error}")
    return tuple(kept), reasons


def _translated(given: Iterable[Mapping[str, Any]]) -> tuple[tuple[dict[str, Any], ...], list[str]]:
    kept, reasons = [], []
    for one in given:
        prompt = one.get("prompt")
        prompts, left_out = _texts([prompt]) if isinstance(prompt, str) else ((prompt,), [])
        kept += [{**one, "prompt": prompt} for prompt in prompts]
        reasons += left_out
    return tuple(kept), reasons
