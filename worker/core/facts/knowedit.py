"""KnowEdit's records, and the other records of EasyEdit with `target_new`.

`ground_truth` is the answer before the edit and `target_new` the one after; where only the new one
is known (as of what happened lately) it is the target. Portability asks what follows after the
edit, but prompts on another name of the subject (`Subject_Aliasing`) are paraphrases. Locality asks
for what must be kept. WikiBio's sentence is the target of the passage before it.

Source: Zhang et al. 2024, KnowEdit (arXiv 2401.01286); Wang et al. 2023, EasyEdit (arXiv
2308.07269). Departure: a prompt in portability or locality with several right answers is asked for
the first, and the others count as wordings of it.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from worker.core.facts._layouts import SECTION
from worker.core.facts._questions import asked, names_in
from worker.core.facts._record import Record, answers, changed, objects, optional, text

TITLE = "KnowEdit"
KEYS = (
    {"prompt", "target_new", "subject"},
    {"prompt", "target_new", "ground_truth"},
    {"prompt", "target_new", "rephrase_prompt"},
    {"question", "target_new", "ground_truth"},
    {"text", "labels", "concept"},
)


def rows(record: Record) -> Iterator[dict[str, Any]]:
    """Give the record's edit as a fact."""
    old = answers(record.get("ground_truth"))
    new = answers(record.get("target_new", record.get("labels")))
    row = changed(old[0] if old else "", new[0] if new else "")
    again = answers([record.get("rephrase_prompt"), record.get("rephrase")])
    follows, names = _portability(record, row)
    yield {
        **_prompt(record),
        **row,
        "aliases": [one for one in old[1:] if one != row["edit_target"]],
        "edit_aliases": new[1:] if row["edit_target"] else (),
        "paraphrases": [*again, *names],
        "ripples": [*follows, *_kept(record)],
        "group": optional(record, SECTION) or "KnowEdit",
    }


def _prompt(record: Record) -> dict[str, Any]:
    if "question" in record:
        return asked(text(record, "question"))
    prompt = text(record, "prompt" if "prompt" in record else "text")
    subject = optional(record, "subject") or optional(record, "concept")
    if not subject:
        subject = max(names_in(prompt), key=len, default=prompt)
    place = (
        prompt.casefold().rfind(subject.casefold()) if len(prompt) == len(prompt.casefold()) else -1
    )
    if place >= 0:  # names in WikiBio are written small
        subject = prompt[place : place + len(subject)]
    return {"subject": subject, "prompt": prompt, "question": prompt if prompt[-1] == "?" else ""}


def _tests(given: Any) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Give kind, prompt and answers of every test; those without one of them are no tests."""
    if not isinstance(given, dict):
        return
    for kind, tests in given.items():
        for one in objects(tests):
            right = answers(one.get("ground_truth"))
            if right:
                yield from ((kind, prompt, right) for prompt in answers(one.get("prompt")))


def _flat(record: Record, name: str) -> Iterable[tuple[str, str, tuple[str, ...]]]:
    """Tests whose prompts and answers stand in two lists beside each other."""
    prompts = answers(record.get(f"{name}_prompt"))
    given = record.get(f"{name}_ground_truth")
    each = given if isinstance(given, list) and len(given) == len(prompts) else [given]
    return (("", p, a) for p, one in zip(prompts, each, strict=False) if (a := answers(one)))


def _portability(record: Record, row: Record) -> tuple[list[dict[str, Any]], list[str]]:
    """What follows after the edit, and prompts on the subject's other names."""
    after = row["edit_target"] or row["target"]
    follows, names = [], []
    for kind, prompt, right in (*_tests(record.get("portability")), *_flat(record, "portability")):
        if kind == "Subject_Aliasing" and after in right:
            names.append(prompt)
            continue
        field, other = (
            ("edit_target", "edit_aliases") if row["edit_target"] else ("target", "aliases")
        )
        follows.append(
            {"kind": "entailed", "prompt": prompt, field: right[0], other: list(right[1:])}
        )
    return follows, names


def _kept(record: Record) -> Iterator[dict[str, Any]]:
    for _, prompt, right in (*_tests(record.get("locality")), *_flat(record, "locality")):
        yield {"kind": "kept", "prompt": prompt, "target": right[0], "aliases": list(right[1:])}
