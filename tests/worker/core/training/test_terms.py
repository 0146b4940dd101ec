"""Which terms a loss has, how much each weighs, and what the model said before."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from worker.core.demo.paths import WEIGHTS
from worker.core.training import terms
from worker.core.training.options import Training
from worker.core.training.terms import (
    forget_term,
    general_term,
    kept_terms,
    reference_log_probs,
)

OPTIONS = Training(
    forget_weight=0.5,
    retain_weight=2.0,
    general_weight=3.0,
    forget_batch=4,
    retain_batch=5,
    general_batch=6,
    general_loss="cross_entropy",
)
MODEL = SimpleNamespace(path=None)


class Rows:
    """A pool of so many rows, whose batches are what the test says."""

    def __init__(self, n: int, *batches: Any) -> None:
        self.n, self.given, self.sizes = n, batches, []

    def __len__(self) -> int:
        return self.n

    def batches(self, size: int) -> tuple[Any, ...]:
        self.sizes.append(size)
        return self.given


def material(**pools: Any) -> Any:
    given: dict[str, Any] = {"forget": Rows(8), "retain": Rows(8), "general": Rows(8)}
    return SimpleNamespace(layer=0, **{"model": MODEL} | given | pools)


def test_retain_facts_and_general_text_are_kept_by_their_weights() -> None:
    rows = material()
    found = [(t.name, t.weight, t.pool, t.batch_size) for t in kept_terms(rows, OPTIONS)]
    assert found == [("retain", 2.0, rows.retain, 5), ("general", 3.0, rows.general, 6)]
    assert all(term.averages_labels for term in kept_terms(rows, OPTIONS))


@pytest.mark.parametrize(
    ("pools", "options", "names"),
    [
        ({"retain": None}, {}, ["general"]),
        ({"general": None}, {}, ["retain"]),
        ({}, {"retain_weight": 0.0}, ["general"]),
        ({}, {"general_weight": 0.0}, ["retain"]),
        ({"retain": None, "general": None}, {}, []),
    ],
)
def test_what_is_not_there_or_weighs_nothing_has_no_term(
    pools: dict[str, Any], options: dict[str, Any], names: list[str]
) -> None:
    found = kept_terms(material(**pools), OPTIONS.model_copy(update=options))
    assert [term.name for term in found] == names


def test_the_methods_own_term_is_on_the_forget_facts_or_on_the_pool_that_is_given() -> None:
    rows, other = material(), Rows(3)

    def loss(logits: Any, batch: Any) -> Any:
        return logits

    term = forget_term(rows, OPTIONS, loss)
    assert (term.name, term.weight, term.batch_size) == ("forget", 0.5, 4)
    assert (term.pool, term.loss, term.unit) == (rows.forget, loss, "nats")
    given: Any = other
    term = forget_term(rows, OPTIONS, loss, given, unit="nats, negated")
    assert (term.pool, term.unit, term.averages_labels) == (other, "nats, negated", False)


def test_what_is_kept_is_learned_by_cross_entropy_over_all_labels() -> None:
    logits = torch.tensor([[[0.0, math.log(3.0)]], [[0.0, 0.0]]])
    batch: Any = SimpleNamespace(labels=torch.tensor([[1], [0]]))
    for term in kept_terms(material(), OPTIONS):
        expected = (math.log(4 / 3) + math.log(2)) / 2
        assert term.loss(logits, batch).item() == pytest.approx(expected)


def test_general_text_is_held_to_what_the_base_said_of_it_where_that_is_asked() -> None:
    read: list[str] = []
    base = SimpleNamespace(pool=Rows(3), divergence=lambda logits, batch: logits)
    base.read = lambda: read.append("read") or base
    asked = OPTIONS.model_copy(update={"general_loss": "divergence"})
    retain, general = kept_terms(material(base_text=base), asked)
    assert (retain.name, general.name, general.weight) == ("retain", "general", 3.0)
    assert general.pool is base.pool and general.loss is base.divergence
    assert general.averages_labels and read == ["read"]
    assert not general_term(
        material(base_text=base), asked.model_copy(update={"general_weight": 0})
    )
    assert read == ["read"], "nothing is read for a term that weighs nothing"


@pytest.mark.parametrize(
    ("asked", "is_bundled", "expected"),
    [
        ("auto", True, False),
        ("auto", False, True),
        ("cross_entropy", False, False),
        ("divergence", True, True),
    ],
)
def test_the_bundled_model_alone_learns_its_text_by_default(asked, is_bundled, expected) -> None:
    assert terms.diverges(Training(general_loss=asked), is_bundled) == expected
    model: Any = SimpleNamespace(path=WEIGHTS if is_bundled else None)
    base = SimpleNamespace(pool=Rows(3), divergence=None, read=lambda: base)
    rows = material(base_text=base, model=model)
    [term] = general_term(rows, Training(general_loss=asked))
    assert (term.pool is base.pool) == expected


def test_references_are_every_rows_log_probability_without_a_gradient(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    batches = [
        SimpleNamespace(labels=torch.tensor([[1], [0]]), logits=torch.zeros(2, 1, 2)),
        SimpleNamespace(labels=torch.tensor([[0]]), logits=torch.tensor([[[math.log(3.0), 0.0]]])),
    ]
    asked: list[Any] = []

    def logits_at_answers(model: Any, batch: Any, layer: int) -> Any:
        asked.append((model, layer, torch.is_grad_enabled()))
        return batch.logits.requires_grad_()

    monkeypatch.setattr(terms, "logits_at_answers", logits_at_answers)
    pool: Any = Rows(3, *batches)
    found = reference_log_probs(material(), pool)
    assert found.tolist() == pytest.approx([math.log(0.5), math.log(0.5), math.log(0.75)])
    assert not found.requires_grad and asked == [(MODEL, 0, False)] * 2
    assert pool.sizes == [terms.REFERENCE_BATCH]
