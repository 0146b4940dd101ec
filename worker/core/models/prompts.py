"""Facts as a model is asked them: prompts and answers, in words and in tokens.

Every room asks facts through this file, so that scoring, training, editing and localizing cut one
fact's answer alike. The words are the fact's own (`worker.contract.facts`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.core.models.model import Model
from worker.core.models.tokens import Prompt, answer_ids, check_span, encode, tokenized


def pairs(facts: Iterable[Fact], answers: Iterable[str] | None = None) -> list[tuple[str, str]]:
    """List each fact's prompt and the answer beside it, as it follows; targets where none are."""
    if answers is None:
        return [fact.pair() for fact in facts]
    return [fact.pair(answer) for fact, answer in zip(facts, answers, strict=True)]


@contextmanager
def cut_at_once(model: Model, facts: Iterable[Fact], edits: bool = True) -> Iterator[None]:
    """Cut all prompts with targets, and `edits` also with edit targets, into tokens at once."""
    with tokenized(model, [text for fact in facts for text in _texts(fact, edits)]):
        yield


def _texts(fact: Fact, edits: bool) -> list[str]:
    answers = [fact.target, *([fact.edit_target] if edits and fact.edit_target.strip() else [])]
    return [fact.text, *map(fact.said, answers)]


def encode_fact(model: Model, fact: Fact) -> Prompt:
    """Cut a fact's prompt into tokens, its subject where the template has it."""
    return encode(model, fact.text, fact.subject, fact.prompt.index("{}"))


def check_subject(model: Model, fact: Fact) -> None:
    """Raise the UserError that `encode_fact` would, without making the prompt."""
    check_span(model, fact.text, fact.subject, fact.prompt.index("{}"))


def answer_of(model: Model, fact: Fact, answer: str | None = None) -> tuple[int, ...]:
    """Find the tokens of an answer after the fact's prompt; of the target where none is given."""
    return answer_ids(model, *fact.pair(answer))


def check_asked(model: Model, fact: Fact) -> None:
    """Raise UserError where the model cannot be asked for the target.

    That is where it does not read so long a text, or its tokenizer joins prompt and answer.
    """
    encode(model, fact.said(), None)
    answer_of(model, fact)


def can_be_asked(model: Model, fact: Fact) -> bool:
    """Say whether the model can be asked for the fact's target."""
    try:
        check_asked(model, fact)
    except UserError:
        return False
    return True


def first_tokens(
    model: Model, facts: Sequence[Fact], answers: Sequence[str] | None = None
) -> list[int]:
    """Find the first token of each fact's answer."""
    return [answer_ids(model, *pair)[0] for pair in pairs(facts, answers)]
