"""A subject is found as a whole word; where several could be meant, nobody guesses."""

import unicodedata

import pytest

from worker.contract.subjects import find_subject, read_which

WHOLE = [
    ("Romeo lives in Rome. Romeo loves", "Rome", "Romeo lives in {}. Romeo loves"),
    ("Anna says that Ann lives with Annabel in", "Ann", "Anna says that {} lives with Annabel in"),
    (
        "Marsh plays chess; Marshall and Bo Marshes play",
        "Marsh",
        "{} plays chess; Marshall and Bo Marshes play",
    ),
    ("The Parisian left Paris", "Paris", "The Parisian left {}"),
    ("Rome", "Rome", "{}"),
    ("Rome's mayor, a Roman, is", "Rome", "{}'s mayor, a Roman, is"),
    ("The dogs’ bowl is by the dog", "dogs", "The {}’ bowl is by the dog"),
    ("La capitale de l'Italie est", "Italie", "La capitale de l'{} est"),
    ("Ankara'nın valisi", "Ankara", "{}'nın valisi"),
    ("(Rome) is", "Rome", "({}) is"),
    ("The Rome–Milan train of 2020", "Milan", "The Rome–{} train of 2020"),
    ("Catherine and Cat, her friend", "Cat", "Catherine and {}, her friend"),
    ("In 1969 he was 19", "19", "In 1969 he was {}"),
    ("Wer ist Jörg? Jörgen kennt", "Jörg", "Wer ist {}? Jörgen kennt"),
    ("東京都の知事は", "東京", "{}都の知事は"),
    ("アンナはアンを知る", "アン", "アンナは{}を知る"),
    ("서울은 한국의 수도", "서울", "{}은 한국의 수도"),
    ("Москвичи любят, и Москва любит", "Москва", "Москвичи любят, и {} любит"),
    ("القاهرة عاصمة", "القاهرة", "{} عاصمة"),
    ("I like 🎾 more than 🎾🏽", "🎾", "I like {} more than 🎾🏽"),
    ("👩‍🚀 is a job, 👩 is", "👩", "👩‍🚀 is a job, {} is"),
    ("C++ and C are", "C++", "{} and C are"),
    ("The U.S. economy", "U.S.", "The {} economy"),
    ("René-Marie met O'Brien and Brien", "Brien", "René-Marie met O'Brien and {}"),
    ("He reads Jean-Paul Sartre. Jean reads", "Jean", "He reads Jean-Paul Sartre. {} reads"),
]


def template(prompt: str, subject: str, which: str = "") -> str:
    found = find_subject(prompt, subject, which)
    return f"{prompt[: found.start]}{{}}{prompt[found.stop :]}"


@pytest.mark.parametrize(("prompt", "subject", "wanted"), WHOLE)
def test_the_whole_word_is_taken(prompt: str, subject: str, wanted: str) -> None:
    assert template(prompt, subject) == wanted


def test_the_row_says_which_occurrence_was_taken() -> None:
    note = find_subject("Romeo lives in Rome. Romeo loves", "Rome").note
    assert note == (
        "of 3 places the subject is taken at Romeo lives in ‹Rome›. Romeo loves, not inside other "
        "words"
    )
    assert find_subject("Rome is", "Rome").note == ""


@pytest.mark.parametrize(
    ("prompt", "subject", "words"),
    [
        ("The Artist of the Party was called", "Art", "only inside 'Artist'"),
        ("Anna, Annabel and Hannah", "ann", "only inside 'Hannah'"),
        ("Marshall plays", "Marsh", "only inside 'Marshall'"),
        ("Jose\u0301 lives in", "Jose", "only inside 'Jose\u0301'"),
        ("They tell us that the US", "Us", "only as 'us'"),
        ("IBM is", "ibm", "only as 'IBM'"),
        ("He ate an Apple pie", "apple", "only as 'Apple'"),
        ("Rome is", "Paris", "'Paris' is not in its prompt"),
        ("アンナは", "アン", "only inside 'アンナ'"),
        ("👍🏽 means", "👍", "only inside"),
    ],
)
def test_a_subject_that_stands_nowhere_as_a_word_is_refused(
    prompt: str, subject: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        find_subject(prompt, subject)


@pytest.mark.parametrize(
    ("prompt", "subject", "words"),
    [
        ("Ann knows Ann and Anna", "Ann", r"2 times .*1: ‹Ann› knows.*2: Ann knows ‹Ann›.*first"),
        ("東京の人は東京", "東京", "2 times"),
        ("Rome's Rome", "Rome", "2 times"),
        ("Anne-Marie lives in", "Anne", r"part of a longer word .*‹Anne›-Marie"),
        ("The Rome-based firm", "Rome", "part of a longer word"),
        ("O'Brien lives", "Brien", "part of a longer word"),
    ],
)
def test_what_could_be_meant_otherwise_is_asked(prompt: str, subject: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        find_subject(prompt, subject)


def test_the_answer_to_which_is_followed() -> None:
    prompt = "Ann knows Ann and Anna, says Ann"
    assert template(prompt, "Ann", "first") == "{} knows Ann and Anna, says Ann"
    assert template(prompt, "Ann", "2") == "Ann knows {} and Anna, says Ann"
    assert template(prompt, "Ann", "last") == "Ann knows Ann and Anna, says {}"
    assert template("The Rome-based firm", "Rome", "1") == "The {}-based firm"
    with pytest.raises(ValueError, match=r"occurrence is 4, and .* stands 3 times"):
        find_subject(prompt, "Ann", "4")
    with pytest.raises(ValueError, match=r"occurrence is 2, and .* stands once in its prompt"):
        find_subject("Ann plays", "Ann", "2")


@pytest.mark.parametrize("text", ["second", "0", "-1", "1.5"])
def test_another_word_for_which_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected first, last or a number"):
        read_which(text)


@pytest.mark.parametrize(
    ("prompt", "subject"),
    [
        (unicodedata.normalize("NFD", "José lives in"), "José"),
        (unicodedata.normalize("NFC", "Zoë lives in"), unicodedata.normalize("NFD", "Zoë")),
        ("The Moon is made of", "the Moon"),
        ("the Beatles are from", "The Beatles"),
        ("The St John’s river", "St John's"),
        ("We met. Water is wet", "water"),
    ],
)
def test_the_prompts_spelling_of_the_same_name_is_taken_and_said(prompt: str, subject: str) -> None:
    found = find_subject(prompt, subject)
    assert prompt[found.start : found.stop] == found.subject != subject
    assert "written as its prompt has it" in found.note
