"""Circuits are those of a whole forward in which torch's hooks give every reader its own input."""

from contextlib import ExitStack
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.worker.core.explore.plain import FAMILIES, ids_of, look_at, model_of, part, prompts_of
from tests.worker.core.localization.planted import make_planted
from worker.contract.errors import Cancelled, UserError
from worker.contract.progress import Event, Quiet
from worker.core.explore._circuits import SITES, Circuits, opened
from worker.core.explore._options import SubjectOptions
from worker.core.explore._pair import Pair
from worker.core.explore._subject import look
from worker.core.findings import Job
from worker.core.models.model import Model
from worker.core.registry import method

NORMS = {
    "LlamaForCausalLM": ("input_layernorm", "post_attention_layernorm"),
    "Gemma2ForCausalLM": ("input_layernorm", "pre_feedforward_layernorm"),
    "GPT2LMHeadModel": ("ln_1", "ln_2"),
    "GPTNeoXForCausalLM": ("input_layernorm", "post_attention_layernorm"),
}


def circuits_of(family: str) -> Circuits:
    subject = look(model_of(family), SubjectOptions(**prompts_of(family)), 0, SITES)
    return Circuits(Pair(subject, "denoising", SITES))


@torch.no_grad()
def written(model: Model, text: str) -> list[Tensor]:
    """What every sender writes on a prompt, the input first."""
    found: list[Tensor] = []

    def first(_: object, args: tuple[Tensor, ...], kwargs: dict[str, Tensor]) -> None:
        found.append(args[0] if args else kwargs["hidden_states"])

    def keep(_: object, __: object, output: Any) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)

    with ExitStack() as stack:
        block = part(model, "block", 0)
        stack.callback(block.register_forward_pre_hook(first, with_kwargs=True).remove)
        for layer in range(model.n_layers):
            for role in ("attn_write", "mlp_write"):
                module = part(model, role, layer)
                stack.callback(module.register_forward_hook(keep).remove)
        model.hf(ids_of(model, text))
    if len(found) > 2 * model.n_layers + 1:
        raise AssertionError("each sender writes once")
    return found


@torch.no_grad()
def plain(
    family: str,
    gates: Tensor,
    begun: float = 1.0,
    sent: tuple[int, int, float] | None = None,
) -> Tensor:
    """The last logits of a circuit, whose input is `begun` of the way to the clean one."""
    model = model_of(family)
    clean, corrupted = (written(model, text) for text in prompts_of(family).values())
    parallel = type(model.hf).__name__ == "GPTNeoXForCausalLM"
    now: list[Tensor | None] = [corrupted[0] + begun * (clean[0] - corrupted[0])]

    def reads(reader: int) -> Any:
        def hook(_: object, args: tuple[Tensor, ...]) -> tuple[Tensor]:
            last = reader == 2 * model.n_layers
            n = reader if parallel and reader % 2 and not last else reader + 1
            x = torch.zeros_like(clean[0])
            for sender in range(n):
                own = now[sender] if gates[sender, reader] else corrupted[sender]
                assert own is not None
                x = x + own
            if sent is not None and sent[1] == reader:
                x = x + sent[2] * (clean[sent[0]] - corrupted[sent[0]])
            return (x,)

        return hook

    def keep(sender: int) -> Any:
        def hook(_: object, __: object, output: Any) -> None:
            now[sender] = output[0] if isinstance(output, tuple) else output

        return hook

    now += [None] * (2 * model.n_layers)
    with ExitStack() as stack:
        for layer in range(model.n_layers):
            for k, norm in enumerate(NORMS[type(model.hf).__name__]):
                module = part(model, "block", layer).get_submodule(norm)
                stack.callback(module.register_forward_pre_hook(reads(2 * layer + k)).remove)
                module = part(model, ("attn_write", "mlp_write")[k], layer)
                stack.callback(module.register_forward_hook(keep(2 * layer + k + 1)).remove)
        module = part(model, "norm")
        stack.callback(module.register_forward_pre_hook(reads(2 * model.n_layers)).remove)
        return model.hf(ids_of(model, prompts_of(family)["corrupted"])).logits[0, -1]


def difference(circuits: Circuits, logits: Tensor) -> float:
    answers = circuits.pair.subject.answers
    return float(logits[answers["target"].ids[0]] - logits[answers["distractor"].ids[0]])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_circuit_of_any_edges_is_what_hooks_on_a_whole_forward_give(family: str) -> None:
    circuits, rng = circuits_of(family), np.random.default_rng(0)
    edges = np.flatnonzero(circuits.edges.numpy())
    sets = [rng.permutation(edges)[: len(edges) // part].tolist() for part in (1, 2, 3)]
    found = circuits.run(opened(circuits, [*sets, []]))
    for value, chosen in zip(found.tolist(), [*sets, []], strict=True):
        gates = opened(circuits, [chosen])[0]
        wanted = difference(circuits, plain(family, gates))
        assert value == pytest.approx(wanted, abs=2e-4)
    clean, corrupted = circuits.pair.both.metric("logit_diff").tolist()
    assert found[[0, -1]].tolist() == pytest.approx([clean, corrupted], abs=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_edges_exact_effect_is_that_of_its_sender_patched_into_its_reader_alone(
    family: str,
) -> None:
    circuits = circuits_of(family)
    corrupted = float(circuits.pair.both.metric("logit_diff")[1])
    for sender, reader in ((0, 0), (1, 2), (2, len(circuits.readers) - 1)):
        edge = (circuits.senders[sender], circuits.readers[reader])
        found = look_at("circuit", model_of(family), **prompts_of(family), edge=edge, sizes=(1,))
        logits = plain(family, circuits.edges, 0.0, (sender, reader, 1.0))
        wanted = difference(circuits, logits) - corrupted
        assert found.view["edge"]["exact"] == pytest.approx(wanted, abs=2e-4)
        assert (found.view["edge"]["from"], found.view["edge"]["to"]) == edge


@pytest.mark.parametrize("family", FAMILIES)
def test_a_score_is_the_change_along_the_slope_at_the_readers_own_input(family: str) -> None:
    circuits = circuits_of(family)
    found = look_at("circuit", model_of(family), **prompts_of(family), steps=1, sizes=(1,))
    scores, step = found.arrays["circuit.edges"].values, 1e-2
    for sender, reader in ((0, 0), (0, 1), (1, 2), (2, len(circuits.readers) - 1)):
        ends = [
            difference(circuits, plain(family, circuits.edges, 0.5, (sender, reader, way * step)))
            for way in (1, -1)
        ]
        slope = (ends[0] - ends[1]) / (2 * step)
        # A difference quotient: float32 rounds what it divides by the step.
        assert scores[sender, reader] == pytest.approx(slope, rel=2e-2, abs=5e-3)


def test_what_leaves_the_input_adds_up_to_the_prompts_difference() -> None:
    found = look_at("circuit", model_of("neox"), **prompts_of("neox"), steps=60, sizes=(1,))
    clean, corrupted = found.view["metrics"][0].values()
    total = found.arrays["circuit.edges"].values[0].sum()
    assert total == pytest.approx(clean - corrupted, rel=1e-2)


def test_a_planted_circuit_is_found_and_carries_all() -> None:
    model = make_planted()
    pair = {"prompt": "xA is at", "corrupted": "xB is at", "target": "ball", "distractor": "golf"}
    found = look_at("circuit", model, **pair, sizes=(3,))
    largest = {(edge["from"], edge["to"]) for edge in found.view["edges"][:3]}
    assert largest == {("input", "1.mlp"), ("1.mlp", "2.attn"), ("2.attn", "logits")}
    assert found.view["pruned"][0]["faithfulness"] == pytest.approx(1, abs=0.1)
    assert found.view["pruned"][0]["completeness"] == pytest.approx(1, abs=0.1)


def test_further_pairs_are_averaged_and_their_spread_told() -> None:
    model = make_planted()
    first = {"prompt": "xA is at", "corrupted": "xB is at"}
    alone = [
        look_at("circuit", model, **pair, sizes=(3,))
        for pair in (first, {"prompt": "yC is at", "corrupted": "yD is at"})
    ]
    both = look_at("circuit", model, **first, pairs=(("yC is at", "yD is at"),), sizes=(3,))
    grids = [found.arrays["circuit.edges"].values for found in alone]
    np.testing.assert_allclose(
        both.arrays["circuit.edges"].values, (grids[0] + grids[1]) / 2, atol=1e-5
    )
    edge = both.view["edges"][0]
    place = [
        [axis.labels.index(edge[end])]
        for axis, end in zip(both.arrays["circuit.edges"].axes, ("from", "to"), strict=True)
    ]
    values = [float(grid[tuple(place)][0]) for grid in grids]
    assert edge["spread"] == pytest.approx(abs(values[0] - values[1]) / 2, abs=1e-5)
    assert len(both.view["metrics"]) == 2


def test_a_circuit_is_told_size_by_size_and_ended_at_any_report() -> None:
    model, told = model_of("llama"), list[Event]()
    view = method("explore", "circuit")
    options = view.options(**prompts_of("llama"), sizes=(1, 4, 9))
    found = view.function(model, options, Job(0, Quiet(told.append)))
    pruned = [event.data for event in told if event.name == "circuit.pruned"]
    assert [one["n_edges"] for one in pruned] == [1, 4, 9]
    assert pruned[1]["faithfulness"] == found.view["pruned"][1]["faithfulness"]

    def end(event: Event) -> None:
        if event.name == "circuit.pruned":
            raise Cancelled("nobody waits for it")

    with pytest.raises(Cancelled):
        view.function(model, options, Job(0, Quiet(end)))
    again = view.function(model, options, Job(0, Quiet()))
    assert again.view == found.view


def test_what_is_asked_next_of_a_pair_scores_its_edges_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, scored = make_planted(), []
    slopes = Circuits.slopes
    monkeypatch.setattr(Circuits, "slopes", lambda *a: scored.append(a) or slopes(*a))
    pair: dict[str, Any] = {"prompt": "xA is at", "corrupted": "xB is at", "steps": 7}
    first = look_at("circuit", model, **pair, n_sizes=5)
    assert len(scored) > 0 and len(first.view["pruned"]) == 5
    n = len(scored)
    edge = (first.view["edges"][0]["from"], first.view["edges"][0]["to"])
    again = look_at("circuit", model, **pair, sizes=(3,), edge=edge)
    assert len(scored) == n and again.view["edges"] == first.view["edges"]
    # Other steps, answers, prompts or weights are other scores.
    look_at("circuit", model, **{**pair, "steps": 8}, sizes=(1,))
    look_at("circuit", model, **pair, target="golf", distractor="ball", sizes=(1,))
    look_at("circuit", model, prompt="yC is at", corrupted="yD is at", steps=7, sizes=(1,))
    switched = [{"kind": "scale", "site": "mlp", "layer": 0, "factor": 2}]
    look_at("circuit", model, **pair, sizes=(1,), interventions=switched)
    assert len(scored) == 5 * n


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"corrupted": ""}, "There is one prompt"),
    ({"sizes": (1000,)}, "expected numbers of edges from 0 to 28"),
    ({"edge": ("0.mpl", "logits")}, "Did you mean '0.mlp'"),
    ({"edge": ("1.mlp", "0.attn")}, "does not come before"),
    ({"pairs": (("ab cd is at", "ab"),)}, "Pair 1: The clean prompt has"),
    ({"interventions": [{"kind": "scale", "site": "resid", "layer": 0, "factor": 2}]}, "not the"),
]


@pytest.mark.parametrize(("wrong", "words"), WRONG)
def test_what_has_no_circuit_is_refused_in_words(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        look_at("circuit", model_of("llama"), **{**prompts_of("llama"), **wrong})
