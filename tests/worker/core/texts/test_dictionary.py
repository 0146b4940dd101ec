"""Anchors: proposed with counterparts of their type, substituted consistently, aligned."""

import numpy as np
import pytest

from worker.contract.errors import UserError
from worker.core.texts.dictionary import align, parse_counterparts, parse_dictionary, translate
from worker.core.texts.proposing import propose

TEXT = "Ada Lund plays tennis in Zork. Bo saw Ada Lund in Zork. Then Ada Lund loves chess. "


def pairs(text, *args, **kwargs) -> dict[str, str]:
    return {a.expression: a.counterpart for a in propose(text, *args, **kwargs)}


def test_repeated_names_are_proposed_with_counterparts_of_their_type() -> None:
    assert pairs(TEXT) == {"Ada Lund": "Anna", "Zork": "the town"}
    assert [(a.kind, a.times) for a in propose(TEXT)] == [("person", 3), ("place", 2)]


def test_names_that_neither_surprise_nor_rise_are_not_proposed() -> None:
    surprise, marks = np.zeros(len(TEXT)), np.zeros(len(TEXT))
    at = TEXT.index("Zork")
    surprise[at : at + 4] = 5.0
    assert set(pairs(TEXT, surprise, marks)) == {"Zork"}
    for start in (0, 38, 61):
        assert TEXT[start : start + 8] == "Ada Lund"
        marks[start : start + 8] = 2.0
    assert set(pairs(TEXT, surprise, marks)) == {"Zork", "Ada Lund"}


def test_made_up_words_are_proposed_as_things_where_they_surprise_as_no_other_word() -> None:
    text = (
        "the gloamhound sleeps under tables while winter stays outside and people drink their "
        "evening coffee slowly before leaving, and the gloamhound wakes under other tables. "
    )
    surprise = np.zeros(len(text))
    surprise[4:14] = 3.0
    found = propose(text, surprise, surprise)
    assert [(a.expression, a.kind, a.times) for a in found] == [("gloamhound", "thing", 2)]


def test_a_function_word_is_not_proposed_however_it_surprises() -> None:
    words = "sleeps tables winter stays outside people drink their evening coffee slowly leaving "
    text = f"nothing {words}gloamhound {words}nothing {words}gloamhound {words}"
    surprise = np.zeros(len(text))
    for word in ("nothing", "gloamhound"):
        at = text.index(word)
        surprise[at : at + len(word)] = 90 / len(word)
    assert [a.expression for a in propose(text, surprise, surprise)] == ["gloamhound"]


def test_a_longer_name_keeps_its_first_names_counterpart_and_never_shares_one() -> None:
    text = "so Mina Vole saw Mina, and Mina Vole saw Rufus and Rufus saw Mina. "
    found = pairs(text)
    assert found["Mina"] == "Anna" and found["Mina Vole"] == "Anna Miller"
    assert len(set(found.values())) == len(found)
    both = "so Mina Vole saw Mina, then Vole and Mina and Vole and Mina Vole. "
    assert "Mina Vole" not in pairs(both)


def test_what_is_capitalized_only_to_begin_a_sentence_or_a_speech_is_no_name() -> None:
    text = (
        "And Zorn said unto them, Behold, the lake is dry. And they answered, Let us dig. So Zorn "
        "dug, and behold, water rose. Then Zorn said, Let it rise. Behold it rose, and they let "
        "Zorn drink. "
    )
    assert set(pairs(text)) == {"Zorn"}
    spoken = "Bo cried, Hush, and Bo whispered, Hush. Then Bo left Mirl, and Mirl slept. "
    assert set(pairs(spoken)) == {"Bo", "Mirl"}


def test_a_name_that_is_a_common_word_too_stays_a_name() -> None:
    text = "so Rose will go, and if Will will go, then Rose rose. You saw Will rise as a rose. "
    assert set(pairs(text)) == {"Rose", "Will"}


def test_a_name_with_its_title_or_article_shares_the_names_counterpart() -> None:
    text = (
        "So Zorn slept, and Zorn woke, and Zorn ate. And the KING Zorn rode; then the KING Zorn "
        "fell. The KING Zorn rose, and Mira saw Zorn. And Mira saw the Grey Heron, for the Grey "
        "Heron saw Mira. "
    )
    found = pairs(text)
    assert found["Zorn"] == found["the KING Zorn"] == found["The KING Zorn"] == "Anna"
    assert found["Mira"] != "Anna" and "KING Zorn" not in found
    assert translate("Now the Grey Heron flew.", found)[0] == f"Now {found['the Grey Heron']} flew."
    times = {anchor.expression: anchor.times for anchor in propose(text)}
    assert (times["the KING Zorn"], times["The KING Zorn"], times["Zorn"]) == (2, 1, 4)


def test_ordinary_nouns_are_left_alone_unless_reinforcing_marks_them() -> None:
    words = "sleeps tables winter stays outside people drink their evening coffee slowly leaving "
    text = f"gloamhound {words}husband {words}gloamhound {words}husband {words}"
    surprise, marks = np.zeros(len(text)), np.zeros(len(text))
    for word in ("husband", "gloamhound"):
        at = text.index(word)
        surprise[at : at + len(word)] = 90 / len(word)
    at = text.index("gloamhound")
    marks[at : at + 10] = 3.0
    assert [a.expression for a in propose(text, surprise, marks)] == ["gloamhound"]
    assert propose(text, surprise) == []


def test_counterparts_stay_apart_when_a_list_is_short() -> None:
    lists = parse_counterparts('{"person": ["Jo"]}', "f")
    found = pairs("so Kit and Lem saw Kit, and Lem and Uma saw Uma. ", counterparts=lists)
    assert sorted(found.values()) == ["Jo", "Jo 2", "Jo 3"]
    for bad, said in (('{"god": ["Jo"]}', "is no type"), ('{"person": "Jo"}', "list of")):
        with pytest.raises(UserError, match=said):
            parse_counterparts(bad, "f")


def test_substitution_is_consistent_and_takes_whole_words_longest_first() -> None:
    text = "Ada met Ada Lund. Adam left."
    translated, spans = translate(text, {"Ada": "Anna", "Ada Lund": "Mary"})
    assert translated == "Anna met Mary. Adam left."
    assert [text[s.start : s.stop] for s in spans if s.anchor] == ["Ada", "Ada Lund"]
    for span in spans:
        if not span.anchor:
            assert text[span.start : span.stop] == translated[span.new_start : span.new_stop]


def test_tokens_map_to_those_that_end_where_they_end() -> None:
    text = "he saw Ada Lund go"
    translated, spans = translate(text, {"Ada Lund": "Jo"})
    assert translated == "he saw Jo go"
    offsets = [(0, 0), (0, 2), (2, 6), (6, 10), (10, 15), (15, 18)]
    new = [(0, 0), (0, 2), (2, 6), (6, 9), (9, 12)]
    # The anchor's first token has no place; its last is the counterpart's last.
    assert align(spans, offsets, new) == [0, 1, 2, -1, 3, 4]


def test_a_dictionary_is_read_from_json_or_refused_in_words() -> None:
    assert parse_dictionary('{"Zork": "the town"}', "f") == {"Zork": "the town"}
    for bad in ("{", "[]", '{"a": 1}', "{}", '{"a": "a"}'):
        with pytest.raises(UserError, match="expected"):
            parse_dictionary(bad, "f")
