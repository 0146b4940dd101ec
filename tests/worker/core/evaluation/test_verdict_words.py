"""The verdict in a word: which answers come first, and what is wanted before anything is gone."""

import pytest

from worker.core.evaluation._verdict_terms import NO_POWER, About, Answer
from worker.core.evaluation._verdict_words import MEANING, conclude, tell

RETAIN = "verdict.statement.retain.after"


def one(about: About, answer: str, number: str = "n", short: str = "") -> Answer:
    return Answer("?", answer, number, 0.5, "", about, short or about)


def answers(**changed: str) -> list[Answer]:
    """Of an edit that is gone, but for what is said otherwise."""
    given = {
        "known": "yes", "said": "no", "spread": "yes", "relearning": "no", "rounding": "no",
        "read": "no", "kept": "no", "others": "no", "text": "no",
    } | changed  # fmt: skip
    return [
        one("known", given["known"]),
        one("said", given["said"]),
        *([one("spread", given["spread"])] if given["spread"] else []),
        one("back", given["relearning"], short="relearning"),
        one("back", given["rounding"], short="rounding"),
        one("read", given["read"], short="a probe"),
        *([one("kept", given["kept"], RETAIN, "retain facts")] if given["kept"] else []),
        one("kept", given["others"], "verdict.others.after", "other facts"),
        one("text", given["text"], short="text"),
    ]


OPEN = f"{NO_POWER}: for a reason"


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "gone"),
        ({"others": "harmed"}, "gone, with harm"),
        ({"text": "harmed"}, "gone, with harm"),
        ({"others": OPEN, "read": OPEN, "rounding": OPEN}, "gone"),
        ({"kept": OPEN}, NO_POWER),
        ({"kept": ""}, NO_POWER),
        ({"spread": OPEN}, NO_POWER),
        ({"spread": ""}, NO_POWER),
        ({"relearning": OPEN}, NO_POWER),
        ({"known": "no"}, "never known"),
        ({"known": "no", "kept": ""}, "never known"),
        ({"rounding": "yes", "known": "no"}, "hidden"),
        ({"read": "yes", "relearning": OPEN}, "hidden"),
        ({"spread": "no", "read": "yes"}, "said in other forms"),
        ({"said": "yes", "spread": "no"}, "still there"),
        ({"said": "yes", "known": "no"}, "told"),
        ({"said": "yes", "text": "broken"}, "broken"),
        ({"others": "broken"}, "broken"),
        ({"kept": "broken", "relearning": "yes"}, "broken"),
    ],
)
def test_what_was_found_first_in_this_order_is_the_verdict(
    changed: dict[str, str], verdict: str
) -> None:
    assert conclude(answers(**changed)) == verdict
    assert verdict in MEANING


def test_sentences_name_what_each_answer_was_about_in_a_list() -> None:
    given = answers(spread="no", relearning="yes", rounding="yes", others="harmed", read=OPEN)
    assert tell("hidden", given) == (
        "Verdict: hidden (not said any more, and found again). Harmed: other facts. "
        "Unharmed: retain facts and text. Not forgotten in spread. "
        "Found again by relearning and rounding. Not decided: a probe; the table says why."
    )
    assert tell("gone", answers(kept="broken", text="broken")) == (
        "Verdict: gone (not said in any form, and not found again by what could have found it). "
        "Broken: retain facts and text. Unharmed: other facts. Forgotten in spread too. "
        "Not found again by relearning, rounding and a probe."
    )
    told = tell("hidden", answers(read="yes", kept="harmed", text="harmed", relearning=OPEN))
    assert "Found again by a probe. Not found again by rounding. Not decided: relearning;" in told
    assert "Harmed: retain facts and text. Unharmed: other facts." in told
