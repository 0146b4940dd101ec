"""How facts are cut: every finding by a fact made for it, and 22,000 facts in bounded time."""

import time
from collections.abc import Callable

import pytest
from tokenizers import Encoding

from worker.contract.facts import Fact
from worker.contract.tokens import FactTokens
from worker.core.ahead.token_words import WORDS
from worker.core.ahead.tokenization import ASKED, look_at_tokens
from worker.core.models import tokens
from worker.core.models.model import Model
from worker.core.models.prompts import encode_fact
from worker.core.models.tokens import answer_ids, tokenized


def fact(**changes: str) -> Fact:
    plain = {
        "id": "f",
        "subject": "Ada Lund",
        "prompt": "Fact: {} plays the sport of",
        "target": "tennis",
        "edit_target": "chess",
    }
    return Fact(**{**plain, **changes})


def kinds(found: FactTokens) -> set[str]:
    return {finding.kind for finding in found.findings}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("subject", {"prompt": "Fact: ten{} plays", "subject": "nis"}),
        ("joined", {"prompt": "Fact: {} plays ten", "target": "nis", "join": "none"}),
        ("long", {"prompt": "word " * 140 + "{} is"}),
        ("written", {"prompt": "Fact: {} plays the sport of "}),
        ("written", {"prompt": "Fact: {} plays the sport of\n"}),
        ("written", {"join": "space"}),
        ("close", {"prompt": "Fact: {} plays the sport (", "target": "tennis"}),
        ("start", {"prompt": "<bos>Fact: {} plays the sport of"}),
        ("several", {"target": "xylophone"}),
        ("same_first", {"target": "tennis", "edit_target": "tennis court"}),
        ("unknown", {"target": "xylophone"}),
    ],
)
def test_each_way_of_cutting_badly_is_found(
    model: Model, kind: str, changes: dict[str, str]
) -> None:
    found = look_at_tokens(model, [fact(**changes), fact(id="good")])
    finding = next(one for one in found.findings if one.kind == kind)
    assert finding.n_facts == 1
    assert finding.examples[0].id == "f"
    assert finding.cure.endswith(".")
    is_refused = WORDS[kind].severity == "refused" or "joined" in kinds(found)
    assert found.n_usable == (1 if is_refused else 2)


def test_targets_that_begin_alike_concern_every_fact_of_both(model: Model) -> None:
    facts = [fact(id="a"), fact(id="b", target="tennis court"), fact(id="c", target="chess")]
    found = look_at_tokens(model, facts)
    (shared,) = [one for one in found.findings if one.kind == "shared_first"]
    assert (shared.n_facts, shared.n_asked) == (2, 3)
    assert "'tennis court'" in shared.examples[0].note


def test_good_facts_have_no_finding_and_chips_that_spell_the_prompt(
    model: Model, facts: tuple[Fact, ...]
) -> None:
    found = look_at_tokens(model, facts)
    assert kinds(found) <= {"several"}
    assert found.n_usable == found.n_facts == len(facts)
    sample = found.samples[0]
    text = "".join(chip.text for chip in sample.chips if chip.part != "special")
    assert text.split() == [*facts[0].text.split(), facts[0].target]
    parts = {p: "".join(c.text for c in sample.chips if c.part == p) for p in ("subject", "answer")}
    assert parts["subject"].strip() == facts[0].subject
    assert parts["answer"].strip() == facts[0].target
    assert found.longest >= found.mean_tokens > 5


def test_texts_cut_together_are_cut_as_alone(model: Model, facts: tuple[Fact, ...]) -> None:
    alone = [(encode_fact(model, f), answer_ids(model, f.text, f.follows(f.target))) for f in facts]
    texts = [text for f in facts for text in (f.text, f.text + f.follows(f.target))]
    with tokenized(model, texts):
        together = [
            (encode_fact(model, f), answer_ids(model, f.text, f.follows(f.target))) for f in facts
        ]
    assert together == alone


def test_the_tokenizer_is_asked_once_for_many_facts(
    build_model: Callable[..., Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    encode = tokens._encodings

    def counted(model: Model, texts: list[str]) -> list[Encoding]:
        asked.append(len(texts))
        return encode(model, texts)

    monkeypatch.setattr(tokens, "_encodings", counted)
    facts = [fact(id=f"f{i}", subject=f"Ada Lund {i}") for i in range(200)]
    found = look_at_tokens(build_model("gpt2"), facts)
    n_shown = len(found.samples) + sum(len(one.examples) for one in found.findings)
    assert asked[:2] == [3 * 200, 3 * ASKED], "a prompt alone, with its target, with the other"
    assert asked[2:] == [1] * n_shown


def test_thousands_of_facts_are_counted_and_a_sample_is_asked(
    build_model: Callable[..., Model],
) -> None:
    facts = [fact(id=f"f{i}", subject=f"Ada Lund {i}") for i in range(2_200)]
    started = time.perf_counter()
    found = look_at_tokens(build_model("gpt2"), facts)
    assert time.perf_counter() - started < 60
    assert found.n_facts == 2_200
    assert all(one.n_asked == (ASKED if one.kind == "unknown" else 2_200) for one in found.findings)
    assert all(len(one.examples) <= 4 for one in found.findings)
