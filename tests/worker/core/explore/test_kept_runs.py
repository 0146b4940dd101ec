"""A subject's own run is kept for the views that follow, and for no other subject."""

import pytest
import torch

from tests.worker.core.explore.plain import look_at, model_of, prompts_of
from worker.contract.progress import Event, Quiet
from worker.core.explore import _kept_runs
from worker.core.findings import Job
from worker.core.models.base_run import BaseRun
from worker.core.models.model import Model
from worker.core.registry import method


def count_runs(monkeypatch: pytest.MonkeyPatch, model: Model) -> list[int]:
    """Note the rows of every run of the whole model."""
    found: list[int] = []
    forward = model.hf.forward

    def counted(*args: object, **kwargs: object) -> object:
        embeds = kwargs.get("inputs_embeds")
        if isinstance(embeds, torch.Tensor) and embeds.shape[1] > 1:
            found.append(len(embeds))
        return forward(*args, **kwargs)

    monkeypatch.setattr(model.hf, "forward", counted)
    return found


def test_a_second_view_of_a_subject_begins_with_the_run_of_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = model_of("llama")
    _kept_runs._kept.pop(model, None)
    runs = count_runs(monkeypatch, model)
    look_at("predictions", model, **prompts_of("llama"), n_new=0)
    assert runs == [2]
    look_at("lens", model, **prompts_of("llama"))
    look_at("decomposition", model, **prompts_of("llama"))
    assert runs == [2]
    look_at("decomposition", model, prompt=prompts_of("llama")["corrupted"])
    assert runs == [2, 1], "another subject has a run of its own"


def test_noise_of_another_seed_is_another_run(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("llama")
    _kept_runs._kept.pop(model, None)
    runs = count_runs(monkeypatch, model)
    noisy = {"prompt": "ab cd is at", "subject": "cd", "noise": True}
    look_at("lens", model, seed=0, **noisy)
    look_at("lens", model, seed=1, **noisy)
    look_at("lens", model, seed=0, **noisy)
    assert len(runs) == 2


def test_weights_that_an_edit_changed_are_run_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("llama")
    look_at("lens", model, **prompts_of("llama"))
    runs = count_runs(monkeypatch, model)
    monkeypatch.setattr(model, "changed", {"lm_head.weight": "other"})
    look_at("lens", model, **prompts_of("llama"))
    assert runs == [2]


def test_runs_are_kept_up_to_a_bound_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("gpt2")
    monkeypatch.setattr(_kept_runs, "BOUND", 1)
    _kept_runs._kept.pop(model, None)
    runs = count_runs(monkeypatch, model)
    look_at("lens", model, **prompts_of("gpt2"))
    look_at("lens", model, **prompts_of("gpt2"))
    assert len(runs) == 2
    _kept_runs._kept.pop(model, None)


def test_a_kept_run_holds_no_model() -> None:
    model = model_of("neox")
    look_at("lens", model, **prompts_of("neox"))
    for _, parts in _kept_runs._kept[model]._values.values():
        assert not any(isinstance(value, Model | BaseRun) for value in parts.values.values())


def test_the_parts_of_a_lens_that_are_told_are_those_of_its_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.core.explore.lens._LOGITS", 1)
    model, told = model_of("llama"), list[Event]()
    view = method("explore", "lens")
    found = view.function(model, view.options(**prompts_of("llama")), Job(0, Quiet(told.append)))
    parts = [event.data for event in told if event.name == "lens"]
    n = found.arrays["lens.entropy"].values.shape[1]
    assert [part["positions"] for part in parts] == [[k, k + 1] for k in reversed(range(n))]
    for part in parts:
        start, stop = part["positions"]
        for name in ("probability", "target", "rank", "entropy", "divergence"):
            whole = found.arrays[f"lens.{name}"].values[:, start:stop]
            assert torch.allclose(torch.tensor(part[name]).double(), torch.tensor(whole), atol=1e-5)
        assert part["top"] == [row[start:stop] for row in found.view["top"]]
