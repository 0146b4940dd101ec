"""Means over copies, and how many facts are run at once."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.worker.core.localization.planted import FACTS, make_planted
from tests.worker.core.models.families import make_model
from worker.core.models.model import Model
from worker.core.models.restart import Patch
from worker.core.patching import bench
from worker.core.patching.bench import Bench, facts_per_batch, make_bench, mean_by
from worker.core.patching.cases import prepare
from worker.core.patching.corruption import corrupt
from worker.core.patching.metric import Metric


def test_columns_are_averaged_by_group_and_a_group_without_columns_is_unknown() -> None:
    values = torch.tensor([[1.0, 3.0, 10.0], [2.0, 4.0, 20.0]])
    found = mean_by(values, torch.tensor([0, 0, 2]), 3)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, [[2.0, np.nan, 10.0], [3.0, np.nan, 20.0]])


def items(copies: int, length: int) -> Any:
    return [SimpleNamespace(embeds=range(copies), case=SimpleNamespace(length=length))] * 3


@pytest.mark.parametrize(
    ("device", "free", "copies", "n_patches", "expected"),
    [
        ("cpu", 2**40, 1, 1, 4),
        ("cpu", 2**40, 2, 256, 2),
        ("cpu", 2**40, 8, 512, 1),
        ("cuda", 2**40, 8, 512, 256),
        ("cuda", 0, 1, 1, 1),
    ],
)
def test_as_many_facts_as_fit_and_as_fill_the_device(
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    free: int,
    copies: int,
    n_patches: int,
    expected: int,
) -> None:
    monkeypatch.setattr(bench, "free_bytes", lambda device: free)
    model: Any = SimpleNamespace(device=SimpleNamespace(type=device), n_layers=4, d_model=8)
    assert facts_per_batch(model, items(copies, 10), n_patches) == expected


def test_memory_bounds_the_facts_by_what_is_kept_and_what_is_carried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model: Any = SimpleNamespace(device=SimpleNamespace(type="cuda"), n_layers=4, d_model=8)
    kept, carried = 3 * 10 * 4 * 5 * 8, 2 * 6 * 10 * 8 * 8
    for facts in (1, 2, 7):
        free = 4 * (kept + carried) * facts
        monkeypatch.setattr(bench, "free_bytes", lambda device, free=free: free + 1)
        assert facts_per_batch(model, items(2, 10), 6) == facts


@pytest.mark.parametrize(("noising", "unpatched"), [(False, [0.25, 0.5]), (True, [1.0, 2.0])])
def test_what_is_patched_is_the_corrupted_run_or_in_noising_the_clean_one(
    noising: bool, unpatched: list[float]
) -> None:
    nothing: Any = None
    changes: Any = [SimpleNamespace(clean=c, corrupted=k) for c, k in ((1.0, 0.25), (2.0, 0.5))]
    base: Any = SimpleNamespace(model=SimpleNamespace(dtype=torch.float32))
    made = Bench(
        *(nothing, base, nothing, nothing, nothing, nothing, "probability"),
        changes=changes,
        noising=noising,
    )
    assert made.unpatched.tolist() == unpatched
    assert (made.clean.tolist(), made.corrupted.tolist()) == ([1.0, 2.0], [0.25, 0.5])
    patches = [Patch("mlp", 1)]
    assert made.with_nothing(patches) == patches and not made.compared_beside
    base.model.dtype = torch.bfloat16
    assert made.with_nothing(patches) == [*patches, Patch("nothing", 0)]


def of_two_facts(model: Model, metric: Metric = "probability", samples: int = 2) -> Bench:
    """A long and a short prompt, each with corrupted copies."""
    long = FACTS[1].model_copy(update={"id": "long", "prompt": "Here {} is at"})
    prepared = prepare(model, [long, FACTS[0]], 0.0, True)
    corrupted = corrupt(model, prepared, "random_tokens", samples=samples, noise_level=1.0, seed=0)
    return make_bench(model, corrupted, metric, ["attn", "mlp"])


def plain(model: Model, embeds: torch.Tensor) -> torch.Tensor:
    """The next token's logits of unpadded prompts."""
    with torch.no_grad():
        return model.hf(inputs_embeds=embeds).logits[:, -1].float()


@pytest.mark.parametrize("metric", ["probability", "logit_diff", "kl"])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_clean_and_corrupted_metrics_are_those_of_plain_forwards(
    family: str, metric: Metric
) -> None:
    model = make_model(family)
    made = of_two_facts(model, metric)
    assert [len(made.items), len(made.pairs)] == [2, 4]
    assert made.fact_of_pair.tolist() == made.pairs.clean.tolist() == [0, 0, 1, 1]
    assert made.pairs.corrupted.tolist() == [2, 3, 4, 5]
    for item, change in zip(made.items, made.changes, strict=True):
        case = item.case
        clean = plain(model, model.hf.get_input_embeddings()(torch.tensor([case.prompt.ids])))
        copies = plain(model, item.embeds)

        def value(logits: torch.Tensor, case: Any = case, clean: Any = clean) -> torch.Tensor:
            log_p = logits.log_softmax(-1)
            if metric == "probability":
                return log_p.exp()[:, case.answer]
            if metric == "logit_diff":
                return logits[:, case.answer] - logits[:, case.foil]
            return (clean.softmax(-1) * (log_p - clean.log_softmax(-1))).sum(-1)

        assert change.clean == pytest.approx(float(value(clean)), abs=1e-5)
        assert change.corrupted == pytest.approx(float(value(copies).mean()), abs=1e-4)
        assert 0 < change.rounding < 1e-2


def test_each_position_names_the_pairs_that_are_corrupted_by_then() -> None:
    made = of_two_facts(make_planted())
    long, short = (item.case.prompt for item in made.items)
    gap = len(long.ids) - len(short.ids)
    assert gap > 0 and made.offsets == [0, gap]
    assert made.starts() == [long.subject[0], gap + short.subject[0]]
    first, then = sorted(made.starts())
    found = {position: chosen.tolist() for position, chosen in made.positions()}
    assert list(found) == list(range(first, len(long.ids)))
    early = [0, 1] if made.starts()[0] == first else [2, 3]
    for position, chosen in found.items():
        assert chosen == (early if position < then else [0, 1, 2, 3])


@pytest.mark.parametrize("noising", [False, True])
def test_a_patch_is_what_a_hook_in_a_plain_forward_makes_of_each_copy(noising: bool) -> None:
    model = make_planted()
    made = of_two_facts(model)
    made.noising = noising
    patches, at = [Patch("mlp", 1), Patch("attn", 2)], made.base.n_positions - 2
    found = made.patch(patches, at, torch.tensor([2, 3]))
    assert np.isnan(found[:, 0]).all(), "of a fact that is not chosen nothing is known"
    item = made.items[1]
    clean = model.hf.get_input_embeddings()(torch.tensor([item.case.prompt.ids]))
    for k, module in enumerate((model.blocks[1].mlp, model.blocks[2].self_attn)):
        values = []
        for copy in item.embeds[:, None]:
            source, patched = (copy, clean) if noising else (clean, copy)
            seen: list[torch.Tensor] = []

            def put(module: Any, args: Any, out: Any, seen: Any = seen) -> Any:
                own = out[0] if isinstance(out, tuple) else out
                seen.append(own.detach().clone())
                if len(seen) == 1:
                    return None
                own = own.clone()
                own[:, -2] = seen[0][:, -2]
                return (own, *out[1:]) if isinstance(out, tuple) else own

            hook = module.register_forward_hook(put)
            plain(model, source)
            values.append(float(plain(model, patched).softmax(-1)[0, item.case.answer]))
            hook.remove()
        assert found[k, 1] == pytest.approx(np.mean(values), abs=1e-5)
