"""RippleEdits: an edit written out as a sentence, and what must and must not change with it.

1. The sentence of the edit and that of the fact before it begin alike; what they have in common, up
   to its last verb, is the prompt, and the rest is each one's answer.
2. The subject is what the sentence says about its relation's name, else the longest name in it.
3. Prompts on the subject's other names are paraphrases; logical and compositional prompts ask what
   follows; specificity and forgetfulness ask what must be kept. Aliases are an answer's wordings.

Edits of recent facts have no fact before them: their answer is the target. The conditions, which
tell whether a model knows what a test needs, are left out: what the base says is measured.

Source: Cohen et al. 2024, RippleEdits (arXiv 2307.12976).
"""

import re
from collections.abc import Iterator
from itertools import takewhile
from typing import Any

from worker.core.facts._questions import names_in
from worker.core.facts._record import Record, answers, changed, objects, optional, text

TITLE = "RippleEdits"
_KEPT = ("Relation_Specificity", "Relation_Specifity", "Forgetfulness")
_ENTAILED = ("Logical_Generalization", "Compositionality_I", "Compositionality_II")
_NAMES = "Subject_Aliasing"
KEYS = tuple({"edit", test} for test in (*_KEPT, *_ENTAILED, _NAMES))
_VERB = re.compile(r" (?:is followed by|follows|is|are|was|were)(?= |$)")

_AFTER = ("a", "associated", "capital", "has", "in", "is", "are", "member", "of", "part", "plays",
          "the", "with", "won")  # fmt: skip
"""Words that may stand between a subject and the answer."""
_ABOUT = rf"s?(?: (?:of|in|by|which))* (.+?)(?: (?:{'|'.join(_AFTER)}))*$"


def rows(record: Record) -> Iterator[dict[str, Any]]:
    """Give the edit as a fact."""
    edit = record["edit"]
    if not isinstance(edit, dict):
        raise ValueError(f"edit is {str(edit)[:60]!r}; expected an object")
    sentence = text(edit, "prompt")
    before = edit.get("original_fact") or edit.get("previous_fact")
    old = text(before, "prompt") if isinstance(before, dict) else ""
    prompt = _prompt(sentence, old)
    row = changed(_answer(old, prompt), _answer(sentence, prompt))
    relation = optional(edit, "relation")
    yield {
        "subject": _subject(prompt, relation),
        "prompt": prompt,
        **row,
        "relation": relation,
        "group": relation,
        "paraphrases": [p for p, right in _tests(record, (_NAMES,)) if _after(row) in right],
        "ripples": [*_entailed(record, row), *_kept(record)],
    }


def _prompt(sentence: str, old: str) -> str:
    """The beginning that both sentences share, up to its last verb; of one alone, its own."""
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(sentence, old, strict=False))
    common = "".join(letter for letter, _ in alike) if old else sentence
    verbs = list(_VERB.finditer(common))
    if not verbs:
        raise ValueError(f"no verb stands before the answer in {sentence[:80]!r}")
    return common[: verbs[-1].end()]


def _answer(sentence: str, prompt: str) -> str:
    return sentence[len(prompt) :].strip().removesuffix(".")


def _subject(prompt: str, relation: str) -> str:
    """What follows the relation's name, as in `the mother of …`; else the longest name."""
    words = relation.replace("_", " ").strip()
    found = re.search(rf"\b{re.escape(words)}{_ABOUT}", prompt, re.IGNORECASE) if words else None
    if found and found[1].lower() not in _AFTER:
        return str(found[1])
    names = names_in(prompt)
    if not names:
        raise ValueError(f"no subject is found in {prompt[:80]!r}")
    return max(names, key=len)


def _after(row: Record) -> str:
    return str(row["edit_target"] or row["target"])


def _tests(record: Record, kinds: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give prompt and answers of every query of these tests."""
    for kind in kinds:
        for test in objects(record.get(kind)):
            for query in objects(test.get("test_queries")):
                prompt = optional(query, "prompt") or optional(query, "phrase")
                right = answers(query.get("answers"))
                if prompt and right:
                    yield prompt, right


def _entailed(record: Record, row: Record) -> Iterator[dict[str, Any]]:
    field, other = ("edit_target", "edit_aliases") if row["edit_target"] else ("target", "aliases")
    for prompt, right in _tests(record, _ENTAILED):
        yield {"kind": "entailed", "prompt": prompt, field: right[0], other: right[1:]}
    for prompt, right in _tests(record, (_NAMES,)):
        if _after(row) not in right:
            yield {"kind": "entailed", "prompt": prompt, field: right[0], other: right[1:]}


def _kept(record: Record) -> Iterator[dict[str, Any]]:
    for prompt, right in _tests(record, _KEPT):
        yield {"kind": "kept", "prompt": prompt, "target": right[0], "aliases": right[1:]}
