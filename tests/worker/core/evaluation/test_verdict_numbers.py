"""What the verdict asks of both states, which attacks it makes, and the numbers they give."""

import math
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.joining import Join
from worker.contract.progress import Event, Quiet
from worker.contract.selection import Selection
from worker.core.evaluation import _verdict_numbers
from worker.core.evaluation._verdict_numbers import Battery, Measured, _probed
from worker.core.findings import Job


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


def fact(name: str, target: str = "Norway", **more: Any) -> Fact:
    return Fact(id=name, subject=name, prompt="{} is in", target=target, **more)


FORGET = (fact("Oslo"), fact("Bergen"))
RETAIN = tuple(fact(f"r{i}", "Chad") for i in range(9))
MODEL: Any = object()


def battery(forget: tuple[Fact, ...] = FORGET, **given: Any) -> tuple[Battery, list[Event]]:
    events: list[Event] = []
    plan: Any = SimpleNamespace(formats=("statement", "choice"), n_forget=2)
    fields: dict[str, Any] = {
        "models": "both", "selection": Selection(forget=forget, retain=RETAIN), "plan": plan,
        "lines": ["one", "two"], "others": ("other",), "relearn_steps": 7, "retain_facts": 3,
        "job": Job(5, Quiet(events.append)),
    }  # fmt: skip
    return Battery(**(fields | given)), events


def told(rows: list[list[float]]) -> Any:
    return SimpleNamespace(target=np.array(rows))


def test_each_form_is_averaged_over_the_facts_that_can_be_asked_in_it() -> None:
    plan: Any = SimpleNamespace(formats=("statement", "choice"), n_forget=2)
    nan = math.nan
    found = _probed(told([[0.5, nan], [0.25, nan], [0.75, 0.5], [0.25, nan], [0.2, 0.25]]), plan)
    assert found == pytest.approx(
        {"statement.forget": 0.375, "statement.retain": 0.4, "choice.retain": 0.375}
    )
    assert _probed(told([[0.5, 0.25], [0.5, 0.75]]), plan) == {
        "statement.forget": 0.5, "choice.forget": 0.5
    }  # fmt: skip


def test_at_most_four_neighbours_of_each_fact_are_asked_and_none_of_the_facts_own_prompts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    beside = ("Bergen is in", *(f"n{i} is in" for i in range(6)))
    made, _ = battery((fact("Oslo", neighbourhood=beside), fact("Bergen")))
    asked: list[Any] = []

    def score(model: Any, items: list[Any]) -> Any:
        asked.append((model, items))
        return SimpleNamespace(log_prob=torch.tensor([0.5, 0.25, 0.125, 0.125]).log())

    monkeypatch.setattr(_verdict_numbers, "score_answers", score)
    assert made._neighbours(MODEL) == pytest.approx(0.25)
    assert asked == [(MODEL, [(f"n{i} is in", " Norway") for i in range(4)])]
    assert battery()[0]._neighbours(MODEL) is None, "no prompt is there to be asked"


class Asked:
    """What `ask` asks, by fixed answers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.probes: list[Any] = []
        self.ready: list[Any] = []
        self.references: list[Any] = []
        spoken = SimpleNamespace(repetition=0.125)
        for name, given in {
            "probe": self.probe, "read_lines": self.read, "ready": self.kinds_of,
            "ask_kinds": lambda model, kinds: {"others": 0.5, f"others.{kinds[0]}": 0.25},
            "go_on": lambda model: spoken,
        }.items():  # fmt: skip
            monkeypatch.setattr(_verdict_numbers, name, given)
        self.spoken = spoken

    def probe(self, *given: Any) -> Any:
        self.probes.append(given)
        return told([[0.5, 0.5], [0.5, 0.5], [0.75, 0.25]])

    def read(self, model: Any, lines: Any, context: int, reference: list[Any]) -> Any:
        self.references.append((lines, context, list(reference)))
        reference += ["log probs"]
        return {
            "loss": np.array([math.log(2), math.log(8)]),
            "divergence": np.array([0.25, math.nan, 0.75]),
        }

    def kinds_of(self, model: Any, others: Any) -> Any:
        self.ready.append((model, others))
        return ["capital"]


def test_the_base_is_asked_first_and_the_edit_beside_what_the_base_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = Asked(monkeypatch)
    made, events = battery()
    base = made.ask(MODEL, None)
    both = {
        "statement.forget": 0.5, "statement.retain": 0.75, "choice.forget": 0.5,
        "choice.retain": 0.25, "general.perplexity": 4.0, "others": 0.5, "others.capital": 0.25,
        "repetition": 0.125,
    }  # fmt: skip
    assert base.numbers == pytest.approx(both), "a base diverges from nothing"
    assert (base.spoken, base.kinds, base.unasked) == (seen.spoken, ["capital"], {})
    monkeypatch.setattr(Battery, "_neighbours", lambda self, model: 0.625)
    edit = made.ask(MODEL, base)
    also = {"general.divergence": 0.5, "neighbourhood": 0.625}
    assert edit.numbers == pytest.approx(both | also)
    assert seen.ready == [(MODEL, ("other",))], "only the base says which it has ready"
    assert seen.references == [(["one", "two"], 100, []), (["one", "two"], 100, ["log probs"])]
    assert edit.reference is base.reference and edit.kinds is base.kinds
    assert [given[4:] for given in seen.probes] == [
        (made.job.report, (0.0, 0.3), "before"), (made.job.report, (0.3, 0.4), "after"),
    ]  # fmt: skip
    assert [(e.fraction, e.message) for e in events] == [
        (0.0, "Asking before"), (0.3, "Asking after")
    ]  # fmt: skip


def test_an_attack_that_cannot_be_made_is_named_with_its_reason_and_the_others_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, _ = battery()
    asked: Any = Measured({"statement.forget": 0.5}, "spoken", [], {}, {"old": "reason"})  # type: ignore[arg-type]

    def refused(self: Any, model: Any) -> Any:
        raise UserError("Too few facts.")

    monkeypatch.setattr(Battery, "_relearn", refused)
    monkeypatch.setattr(Battery, "_round", lambda self, model: {"quantization.4.forget": 0.25})
    monkeypatch.setattr(Battery, "_read", refused)
    found = made.attack(MODEL, asked)
    assert found.numbers == {"statement.forget": 0.5, "quantization.4.forget": 0.25}
    assert found.unasked == {
        "old": "reason", "relearning": "Too few facts.", "latent": "Too few facts."
    }  # fmt: skip
    assert asked.numbers == {"statement.forget": 0.5} and asked.unasked == {"old": "reason"}


@pytest.mark.parametrize("n_retain", [0, 2])
def test_relearning_tells_the_last_step_of_both_its_ways(
    n_retain: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, _ = battery()
    parts = SimpleNamespace(retain=["r"] * n_retain)
    asked: list[Any] = []

    def split(selection: Any, retain_facts: int, seed: int) -> Any:
        asked.append((selection, retain_facts, seed))
        return parts

    def once(*given: Any) -> Any:
        asked.append(given)
        p = 0.5 if given[4] == "lora" else 0.25
        rows = np.array([[0.9, 0.9], [p, p / 2]])
        return SimpleNamespace(held_out=rows, relearned=rows / 2, retain=rows / 4)

    monkeypatch.setattr(_verdict_numbers, "split_facts", split)
    monkeypatch.setattr(_verdict_numbers, "relearn_once", once)
    expected = {
        "relearning.lora.held_out": 0.375, "relearning.lora.relearned": 0.1875,
        "relearning.unrelated.held_out": 0.1875,
    }  # fmt: skip
    if n_retain:
        expected |= {"relearning.lora.retain": 0.09375, "relearning.unrelated.retain": 0.046875}
    assert made._relearn(MODEL) == pytest.approx(expected)
    assert asked[0] == (made.selection, 6, 5), "of which half is trained on and half is asked"
    for given, mode, share in zip(
        asked[1:], ("lora", "unrelated"), ((0.4, 0.6), (0.6, 0.8)), strict=True
    ):
        assert given[:5] == ("both", "after", MODEL, parts, mode)
        assert (given[5].steps, given[5].retain_facts) == (7, 6)
        assert given[6] is made.job and given[7] == pytest.approx(share)


def test_rounding_asks_forget_and_retain_facts_under_four_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, _ = battery()
    inside: list[str] = []

    @contextmanager
    def quantized(model: Any, bits: str) -> Any:
        inside.append(bits)
        yield
        inside.append("restored")

    def ask(model: Any, facts: Any) -> Any:
        assert inside == ["4"] and model is MODEL
        p = 0.25 if facts == FORGET else 0.75
        return np.array([p, p + 0.125]), np.array([9.0])

    monkeypatch.setattr(_verdict_numbers, "quantized", quantized)
    monkeypatch.setattr(_verdict_numbers, "statement_probabilities", ask)
    monkeypatch.setattr(_verdict_numbers, "sample_retain", lambda s, n, seed: RETAIN[:n])
    assert made._round(MODEL) == {"quantization.4.forget": 0.3125, "quantization.4.retain": 0.8125}
    inside.clear()
    monkeypatch.setattr(_verdict_numbers, "sample_retain", lambda s, n, seed: ())
    assert made._round(MODEL) == {"quantization.4.forget": 0.3125}


def test_probes_read_the_forget_facts_whose_answers_they_were_fitted_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, _ = battery((fact("Oslo"), fact("Rome", "Italy")))
    asked: list[Any] = []

    def read(*given: Any) -> Any:
        asked.append(given)
        return SimpleNamespace(best=(0.5, 0.25, 0.75))

    known = SimpleNamespace(classes={"Norway": 0})
    monkeypatch.setattr(_verdict_numbers, "readable", lambda *given: known)
    monkeypatch.setattr(_verdict_numbers, "read", read)
    assert made._read(MODEL) == {
        "latent.forget": 0.5,
        "latent.control": 0.25,
        "latent.retain": 0.75,
    }
    assert asked == [(MODEL, made.selection.forget[:1], known, "last", 5)]
    known.classes = {"Chad": 0}
    with pytest.raises(UserError, match="No forget fact's answer"):
        made._read(MODEL)
