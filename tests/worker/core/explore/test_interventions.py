"""Every view under interventions is what a forward with torch's own hooks gives."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.worker.core.explore.plain import FAMILIES, ids_of, look_at, model_of, part, prompts_of
from worker.contract.errors import UserError
from worker.core.models.model import Model

Given = dict[str, Any]
MIXED: list[Given] = [
    {"kind": "zero", "site": "head", "layer": 0, "head": 1},
    {"kind": "scale", "site": "mlp", "layer": 0, "factor": 2.5, "token": 1},
    {"kind": "mean", "site": "attn", "layer": 1},
    {"kind": "resample", "site": "neuron", "layer": 1, "neuron": 3},
    {"kind": "patch", "site": "resid", "layer": 0, "token": 2},
    {"kind": "direction", "site": "mlp", "layer": 1, "toward": "golf", "factor": 0.5},
]
SINGLE = [
    {"kind": "zero", "site": "resid", "layer": 1, "token": 1},
    {"kind": "mean", "site": "head", "layer": 1, "head": 0},
    {"kind": "patch", "site": "neuron", "layer": 0, "neuron": 7},
    {"kind": "scale", "site": "attn", "layer": 0, "factor": -1.0},
    {"kind": "resample", "site": "mlp", "layer": 0},
]
ROLES = {"resid": "block", "attn": "attn", "mlp": "mlp", "head": "o", "neuron": "down"}


def fitting(family: str, given: Sequence[Given]) -> list[Given]:
    """Leave out words that a tiny tokenizer does not have."""
    word = "golf" if family == "demo" else "ab"
    return [one | ({"toward": word} if "toward" in one else {}) for one in given]


@contextmanager
def plainly(
    model: Model, given: Sequence[Given], act: Callable[[Given, Tensor], Tensor | None]
) -> Iterator[None]:
    """Hook each place with torch's hooks; `act` gives what goes on instead."""

    def on_input(one: Given) -> Any:
        def hook(_: object, args: tuple[Tensor, ...]) -> Any:
            new = act(one, args[0])
            return None if new is None else (new, *args[1:])

        return hook

    def on_output(one: Given) -> Any:
        def hook(_: object, __: object, output: Any) -> Any:
            new = act(one, output[0] if isinstance(output, tuple) else output)
            return None if new is None else (new, *output[1:]) if isinstance(output, tuple) else new

        return hook

    with ExitStack() as stack:
        for one in given:
            module = part(model, ROLES[one["site"]], one["layer"])
            if one["site"] in ("head", "neuron"):
                handle = module.register_forward_pre_hook(on_input(one))
            else:
                handle = module.register_forward_hook(on_output(one))
            stack.callback(handle.remove)
        yield


def columns(model: Model, one: Given) -> slice:
    if "head" in one:
        return slice(one["head"] * model.d_head, (one["head"] + 1) * model.d_head)
    return slice(one["neuron"], one["neuron"] + 1) if "neuron" in one else slice(None)


def references(model: Model, family: str, given: Sequence[Given]) -> list[list[Tensor]]:
    """Each place's activation on the clean and on the corrupted prompt, [pos, width]."""
    found: list[list[Tensor]] = [[] for _ in given]

    def keep(one: Given, activation: Tensor) -> None:
        place = next(k for k, other in enumerate(given) if other is one)
        found[place].append(activation.reshape(-1, activation.shape[-1])[:, columns(model, one)])

    for text in prompts_of(family).values():
        with plainly(model, given, keep), torch.no_grad():
            model.hf(ids_of(model, text))
    return found


@torch.no_grad()
def plain_logits(
    model: Model, family: str, ids: Tensor, given: Sequence[Given], more: Any = None
) -> Tensor:
    """The last logits under interventions, and under `more` = (place, what it is set to)."""
    kept = references(model, family, given)

    def act(one: Given, activation: Tensor) -> Tensor:
        if more is not None and one is more[0]:
            return more[1](activation)
        place = next(k for k, other in enumerate(given) if other is one)
        new, own = activation.clone(), columns(model, one)
        view = new.view(1, ids.shape[1], -1)
        for position in range(ids.shape[1]):
            if one.get("token") in (None, position):
                view[0, position, own] = put(one, view[0, position, own], position, kept[place])
        return new

    def put(one: Given, value: Tensor, position: int, seen: list[Tensor]) -> Tensor:
        tokens = torch.cat(seen)
        if one["kind"] == "zero":
            return torch.zeros_like(value)
        if one["kind"] == "scale":
            return value * one["factor"]
        if one["kind"] == "mean":
            return tokens.mean(0)
        if one["kind"] == "patch":
            return seen[1][position] if position < len(seen[1]) else value
        if one["kind"] == "direction":
            token = model.tokenizer(" " + one["toward"], add_special_tokens=False)["input_ids"][0]
            row = part(model, "head").weight[token]
            return value + one["factor"] * value.norm() * row / row.norm()
        drawn = torch.randint(len(tokens), (2048,), generator=torch.Generator().manual_seed(0))
        return tokens[drawn[position]]

    with plainly(model, [*given, *([] if more is None else [more[0]])], act):
        return model.hf(ids).logits[0, -1]


def answer_logits(view: dict[str, Any], name: str = "clean") -> list[float]:
    return [one["logit"] for one in view["answers"] if one["prompt"] == name]


@pytest.mark.parametrize("family", FAMILIES)
def test_predictions_under_interventions_are_those_of_plain_hooks(family: str) -> None:
    model, prompts = model_of(family), prompts_of(family)
    single = SINGLE[:2] if family == "demo" else SINGLE  # its prompts are long
    for given in (fitting(family, MIXED), *([one] for one in single)):
        found = look_at("predictions", model, **prompts, interventions=given, n_new=4).view
        for name, text in zip(("clean", "corrupted"), prompts.values(), strict=True):
            ids = ids_of(model, text)
            wanted = plain_logits(model, family, ids, given)
            tokens = [found[answer]["ids"][0] for answer in ("target", "distractor")]
            torch.testing.assert_close(
                torch.tensor(answer_logits(found, name)), wanted[tokens], atol=1e-4, rtol=1e-4
            )
        assert len(found["interventions"]) == len(given)


@pytest.mark.parametrize("family", ["llama", "neox", "demo"])
def test_what_is_generated_under_interventions_is_what_plain_hooks_generate(family: str) -> None:
    model, prompts, given = model_of(family), prompts_of(family), fitting(family, MIXED)
    found = look_at("predictions", model, **prompts, interventions=given, n_new=5).view
    ids, said = ids_of(model, prompts["prompt"]), list[int]()
    for _ in range(5):
        token = int(plain_logits(model, family, ids, given).argmax())
        if token == model.end_id:
            break
        said.append(token)
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    assert found["continuation"][0]["text"] == model.tokenizer.decode(
        said, skip_special_tokens=True
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_lens_and_decomposition_end_at_the_logits_under_interventions(family: str) -> None:
    model, prompts = model_of(family), prompts_of(family)
    given = [one for one in fitting(family, MIXED) if one["site"] != "resid"]
    wanted = plain_logits(model, family, ids_of(model, prompts["prompt"]), given)
    lens = look_at("lens", model, **prompts, interventions=given)
    token = lens.view["target"]["ids"][0]
    assert lens.arrays["lens.target"].values[-1, -1] == pytest.approx(
        float(wanted.softmax(-1)[token]), abs=1e-4
    )
    split = look_at("decomposition", model, **prompts, interventions=given)
    assert split.view["sums"]["target"]["logit"] == pytest.approx(float(wanted[token]), abs=1e-4)
    assert abs(split.view["sums"]["target"]["rest"]) < 1e-4


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("site", ["resid", "mlp", "head"])
def test_a_map_under_interventions_is_patched_on_top_of_them(family: str, site: str) -> None:
    model, prompts = model_of(family), prompts_of(family)
    given = [
        {"kind": "scale", "site": "mlp", "layer": 0, "factor": 1.5, "token": 1},
        {"kind": "scale", "site": "head", "layer": 1, "head": 0, "factor": 2.0},
        {"kind": "scale", "site": "resid", "layer": 0, "factor": 0.5},
    ]
    found = look_at("patching", model, **prompts, interventions=given, sites=[site])
    tokens = [found.view[answer]["ids"][0] for answer in ("target", "distractor")]
    place: Given = {"site": site, "layer": 1} | ({"head": 1} if site == "head" else {})
    source: list[Tensor] = []

    def keep(activation: Tensor) -> Tensor:
        source.append(activation.clone())
        return activation

    plain_logits(model, family, ids_of(model, prompts["prompt"]), given, (place, keep))
    n = found.view["prompts"][0]["tokens"]
    position = len(n) - 1

    def put(activation: Tensor) -> Tensor:
        new, own = activation.clone(), columns(model, place)
        view, other = new.view(1, len(n), -1), source[0].view(1, len(n), -1)
        where = slice(None) if site == "head" else slice(position, position + 1)
        view[:, where, own] = other[:, where, own]
        return new

    ids = ids_of(model, prompts["corrupted"])
    wanted = plain_logits(model, family, ids, given, (place, put))
    values = found.arrays[f"patch.{site}.logit_diff"].values
    cell = values[1, 1] if site == "head" else values[1, position]
    assert cell == pytest.approx(float(wanted[tokens[0]] - wanted[tokens[1]]), abs=2e-4)


def test_a_view_without_interventions_is_the_same_before_and_after_one_with_them() -> None:
    model, prompts = model_of("llama"), prompts_of("llama")
    before = look_at("lens", model, **prompts)
    state = model.state_hash
    under = look_at("lens", model, **prompts, interventions=MIXED[:1])
    after = look_at("lens", model, **prompts)
    assert model.state_hash == state
    for name, array in before.arrays.items():
        assert (array.values == after.arrays[name].values).all()
    assert not (before.arrays["lens.entropy"].values == under.arrays["lens.entropy"].values).all()
    assert "Under head 1 of layer 0 set to zero." in under.caption
    assert after.view["interventions"] == []


@pytest.mark.parametrize(
    "view",
    [
        "predictions",
        "lens",
        "decomposition",
        "heads",
        "head",
        "neurons",
        "patching",
    ],
)
def test_scaling_by_one_changes_no_view(view: str) -> None:
    model, prompts = model_of("neox"), prompts_of("neox")
    given = [{"kind": "scale", "site": site, "layer": 0} for site in ("attn", "mlp")]
    plain = look_at(view, model, **prompts)
    under = look_at(view, model, **prompts, interventions=given)
    assert plain.arrays.keys() == under.arrays.keys()
    for name, array in plain.arrays.items():
        torch.testing.assert_close(
            torch.tensor(array.values), torch.tensor(under.arrays[name].values), atol=1e-5, rtol=0
        )
    assert under.view["target"] == plain.view["target"], "still a proposal, and the same"


def test_a_patch_without_a_corrupted_prompt_of_as_many_tokens_is_refused() -> None:
    given = [{"kind": "patch", "site": "mlp", "layer": 0}]
    for corrupted in ("", "ab cd xz is at"):
        with pytest.raises(UserError, match="there is none of as many"):
            look_at("lens", model_of("llama"), prompt="ab cd is at", corrupted=corrupted,
                    interventions=given)  # fmt: skip


def test_a_changed_residual_stream_is_not_split_and_heads_of_a_changed_attention_not_mapped() -> (
    None
):
    model, prompts = model_of("llama"), prompts_of("llama")
    resid = [{"kind": "scale", "site": "resid", "layer": 0, "factor": 2.0}]
    for view in ("decomposition", "heads", "head", "neurons"):
        with pytest.raises(UserError, match="not the sum of what its components"):
            look_at(view, model, **prompts, interventions=resid)
    attn = [{"kind": "zero", "site": "attn", "layer": 0}]
    with pytest.raises(UserError, match="cannot be patched one by one"):
        look_at("patching", model, **prompts, interventions=attn, sites=["head"])
