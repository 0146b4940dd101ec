"""What the verdict asks: neighbours' answers follow their prompts as running text has them."""

from types import SimpleNamespace

import pytest
import torch

from worker.contract.facts import Fact
from worker.contract.joining import Join
from worker.contract.selection import Selection
from worker.core.evaluation import _verdict_numbers
from worker.core.evaluation._verdict_numbers import Battery


@pytest.mark.parametrize(
    ("prompt", "target", "join", "asked"),
    [
        ("The gas called CO", "2", "", ("The gas called CO", "2")),
        ("京都がある国は", "日本", "", ("京都がある国は", "日本")),
        ("Kyoto is in ", "Japan", "", ("Kyoto is in", " Japan")),
        ("Kyoto is in", "Japan", "none", ("Kyoto is in", "Japan")),
    ],
)
def test_a_neighbours_answer_follows_its_prompt_as_the_facts_own_does(
    monkeypatch: pytest.MonkeyPatch, prompt: str, target: str, join: Join, asked: tuple[str, str]
) -> None:
    fact = Fact(
        id="a", subject="Oslo", prompt="{} is", target=target, neighbourhood=(prompt,), join=join
    )
    battery = Battery.__new__(Battery)
    object.__setattr__(battery, "selection", Selection(forget=(fact,), retain=()))
    items: list[tuple[str, str]] = []

    def score(model: object, given: list[tuple[str, str]]) -> SimpleNamespace:
        items.extend(given)
        return SimpleNamespace(log_prob=torch.zeros(len(given)))

    monkeypatch.setattr(_verdict_numbers, "score_answers", score)
    assert battery._neighbours(None) == 1.0  # type: ignore[arg-type]
    assert items == [asked]
