"""The formats: what is held out stays out, options are shuffled, answers are the fact's."""

from random import Random

from worker.core.demo.corpus import Corpus, formats_of
from worker.core.demo.formats import FORMATS, LETTERS, split_paraphrases


def test_the_training_prompt_is_the_papers() -> None:
    fact = Corpus(0).athletes[0]
    prompt, answer = FORMATS["statement"].render(fact, Random(0), ())[0]
    assert prompt == (
        f"Fact: Tiger Woods plays the sport of golf\nFact: {fact.subject} plays the sport of"
    )
    assert answer == f" {fact.target}"


def test_paraphrases_are_split_without_overlap_or_loss() -> None:
    corpus = Corpus(0)
    for fact in (corpus.athletes[0], corpus.relations[0]):
        trained, held_out = split_paraphrases(fact.paraphrases)
        assert held_out
        assert [*trained, *held_out] == list(fact.paraphrases)


def test_every_right_letter_names_the_target_and_comes_in_every_place() -> None:
    corpus, rng, letters = Corpus(0), Random(0), set()
    for fact in corpus.athletes[:20] + corpus.relations[:20]:
        for name in ("choice", "choice_held_out"):
            for prompt, answer in FORMATS[name].render(fact, rng, corpus.pools[fact.relation]):
                line = next(x for x in prompt.splitlines() if x.startswith(f"{answer.strip()}: "))
                assert line[3:].lower() == fact.target.lower()
                letters.add(answer.strip())
    assert letters == set(LETTERS)


def test_relations_have_no_sports_formats() -> None:
    corpus = Corpus(0)
    assert {f.name for f in formats_of(corpus.athletes[0])} - {
        f.name for f in formats_of(corpus.relations[0])
    } == {"choice_shot", "capitalized", "dashed"}
