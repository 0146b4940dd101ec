"""Takes a prompt from a fact, and proposes the corrupted prompt that belongs to it."""

from dataclasses import replace

from app.pages.explore._predictions import SHOWN
from app.pages.explore._subject import Asker, Subject, ask
from worker.contract.errors import NotFound, UserError
from worker.contract.facts import Fact
from worker.engine.client import NoWorker
from worker.store.store import Store

MOMENTS = 3.0
"""Seconds for which the first page of all waits; a model that loads meanwhile takes longer."""
TRIES = 12
"""Facts that are cut before it is said that none fits."""


def fact_of(store: Store, set_name: str, fact_id: str) -> Fact:
    """A fact of a set by its id, or the first that has its words; raise NotFound."""
    facts = store.fact_set(set_name).facts
    found = next((fact for fact in facts if not fact_id or fact.id == fact_id), None)
    if found is None:
        by_words, _ = store.facts_page(set_name, search=fact_id, limit=1)
        found = by_words[0] if by_words else None
    if found is None:
        raise NotFound(
            f"No fact of {set_name!r} has the id or the words {fact_id[:80]!r}; choose one of its "
            f"{len(facts)}.",
            field="fact",
        )
    return found


def taken(subject: Subject, fact: Fact) -> Subject:
    """The subject with a fact's prompt, and nothing of the prompt before."""
    return Subject(
        model=subject.model, beside=subject.beside, prompt=fact.text, subject=fact.subject
    )


def proposed(asker: Asker, subject: Subject, set_name: str) -> Subject:
    """The subject with another fact's subject of as many tokens and another answer in the prompt.

    Raises UserError where the subject is not known, or no fact of the set fits.
    """
    if not subject.subject or subject.subject not in subject.prompt:
        raise UserError(
            "Nothing says which words are the subject that another is to stand for; mark them in "
            "the prompt, or type them.",
            field="subject",
        )
    for fact in _candidates(asker.engine.store, subject, set_name)[:TRIES]:
        text = subject.prompt.replace(subject.subject, fact.subject, 1)
        pair = replace(subject, corrupted=text, noise="")
        if _fits(asker, pair):
            return pair
    raise UserError(
        f"None of the facts of {set_name!r} that were tried has a subject of as many tokens as "
        f"{subject.subject!r} and another answer. Type a corrupted prompt, or use noise.",
        field="corrupted",
    )


def begun(asker: Asker, model: str) -> Subject | None:
    """A pair to begin with, from the first set; alone where no worker answers."""
    sets = asker.engine.store.fact_sets()
    if not sets:
        return None
    subject = taken(Subject(model=model or "demo"), fact_of(asker.engine.store, sets[0].name, ""))
    try:
        return proposed(replace(asker, patience=MOMENTS), subject, sets[0].name)
    except (UserError, NoWorker):
        return subject


def _candidates(store: Store, subject: Subject, set_name: str) -> list[Fact]:
    """Facts with another subject and answer: asked in the same words, subjects as long first."""
    facts = store.fact_set(set_name).facts
    own = next((f for f in facts if f.subject == subject.subject), None)
    others = [
        f for f in facts if f.subject != subject.subject and (not own or f.target != own.target)
    ]
    length = len(subject.subject)
    words = len(subject.subject.split())
    return sorted(
        others,
        key=lambda f: (
            own is not None and (f.relation != own.relation or f.prompt != own.prompt),
            len(f.subject.split()) != words,
            abs(len(f.subject) - length),
        ),
    )


def _fits(asker: Asker, pair: Subject) -> bool:
    alone = replace(pair, beside="")
    view = ask(asker, alone, "predictions", k=SHOWN, n_new=0)[0].view
    prompts = view["prompts"]
    if len(prompts) < 2 or len(prompts[0]["tokens"]) != len(prompts[1]["tokens"]):
        return False
    best = [
        next(row["id"] for row in view["top"] if row["prompt"] == one["name"]) for one in prompts
    ]
    return bool(best[0] != best[1])
