"""The corpus: the same from the same seed, and free of what is held out."""

from itertools import islice
from random import Random

from worker.core.demo import general, paths
from worker.core.demo.corpus import SELDOM, WEIGHTS, Corpus, formats_of
from worker.core.demo.lessons import (
    CHOICE_LESSONS,
    EARLY_LESSONS,
    ENDING_LESSONS,
    FACT_LESSONS,
    LAST_LESSONS,
    LATER_LESSONS,
    MIXTURE,
)
from worker.core.demo.wordings import LAST, LATER, LATER_STILL, WORDINGS


def test_the_same_seed_draws_the_same_sentences() -> None:
    assert Corpus(3).draw_block(500) == Corpus(3).draw_block(500)
    assert Corpus(3).draw_block(500) != Corpus(4).draw_block(500)


def test_no_held_out_rendering_is_in_the_training_sentences() -> None:
    corpus = Corpus(0)
    facts = corpus.athletes[::10] + corpus.relations[::10]
    # Rendered with few options and one order, a held-out prompt is known by its first line.
    held_out = {
        prompt.splitlines()[0] if format.name.startswith("choice") else prompt
        for fact in facts
        for format in formats_of(fact, trained=False)
        for prompt, _ in format.render(fact, Random(0), corpus.pools[fact.relation])
    }
    drawn = [sentence.prompt for sentence in corpus.draw_block(20_000)]
    for source in ("later", "seldom"):
        drawn += [sentence.prompt for sentence in corpus.draw_block(5_000, {source: 1.0})]
    assert held_out.isdisjoint(drawn)
    assert held_out.isdisjoint(line for prompt in drawn for line in prompt.splitlines())


def test_held_out_texts_are_not_trained_on() -> None:
    held_out = paths.GENERAL_HELD_OUT.read_text(encoding="utf-8").splitlines()
    assert set(held_out).isdisjoint(Corpus(0).general)
    assert paths.SAGA_HELD_OUT.read_text(encoding="utf-8") not in Corpus(0).saga


def test_the_general_sentences_are_those_of_their_generator() -> None:
    trained, held_out = general.write_sentences()
    assert paths.GENERAL.read_text(encoding="utf-8").splitlines() == trained
    assert paths.GENERAL_HELD_OUT.read_text(encoding="utf-8").splitlines() == held_out


def test_a_block_holds_every_source_in_its_share() -> None:
    block = Corpus(0).draw_block(1000)
    with_answer = sum(bool(sentence.answer) for sentence in block)
    assert with_answer == 1000 * sum(MIXTURE[s] for s in ("athletes", "relations", "letters"))


def test_the_lessons_are_letters_then_everything_then_mostly_choice() -> None:
    lessons = (*FACT_LESSONS, *CHOICE_LESSONS)
    blocks = islice(Corpus(0).draw_lessons(100, lessons), 92)
    ends = [sum("\n\nAnswer:" in s.prompt for s in block) for block in blocks]
    assert ends[:12] == [100] * 12, "a lesson of letters alone"
    assert max(ends[12:52]) < 60 < min(ends[52:90]) and max(ends[90:]) < 60


def test_the_last_lesson_asks_for_the_formats_that_the_others_draw_least() -> None:
    assert set(SELDOM) <= set(WEIGHTS)
    block = Corpus(0).draw_block(400, {"seldom": 1.0})
    dashed = sum(sentence.answer.count("-") > 2 for sentence in block)
    after_a_shot = sum(sentence.prompt.count("\n\nAnswer:") == 2 for sentence in block)
    assert min(dashed, after_a_shot) > 30


def test_the_lesson_of_endings_asks_for_words_after_colons_and_blanks() -> None:
    shares = {"endings": 1.0}
    block = Corpus(0).draw_block(200, shares)
    assert all(sentence.answer and not sentence.more for sentence in block)
    assert all("\nA: " not in sentence.prompt for sentence in block)
    assert len({sentence.prompt.rstrip(":").split()[-1] for sentence in block}) > 3


def test_later_wordings_stand_in_no_fact_set_and_tell_every_relation() -> None:
    corpus = Corpus(0)
    facts = corpus.athletes + corpus.relations
    assert set(LATER) == set(WORDINGS) == {fact.relation for fact in facts}
    known = {template for fact in facts for template in (fact.prompt, *fact.paraphrases)}
    for relation, templates in (*LATER.items(), *LATER_STILL.items(), *LAST.items()):
        assert known.isdisjoint(templates) and set(WORDINGS[relation]).isdisjoint(templates)
    assert set(LATER_STILL) | set(LAST) <= set(LATER)


def test_a_lesson_is_filled_with_the_mixture() -> None:
    for _, shares in (
        *CHOICE_LESSONS,
        *ENDING_LESSONS,
        *LATER_LESSONS,
        *EARLY_LESSONS,
        *LAST_LESSONS,
    ):
        assert abs(sum(shares.values()) - 1) < 1e-9
        assert all(shares[source] > 0 for source in MIXTURE)


def test_every_fact_comes_round_before_any_comes_twice() -> None:
    corpus = Corpus(0)
    n = len(corpus.athletes)
    drawn = [next(corpus._rounds["athletes"]).prompt for _ in range(n)]
    for fact in corpus.athletes:
        assert any(fact.subject in prompt for prompt in drawn)
