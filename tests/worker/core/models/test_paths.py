import pytest
import torch

from tests.worker.core.models.families import FAMILIES, make_model
from worker.contract.components import Component
from worker.core.models.base_run import run_base
from worker.core.models.intercept import replaced_forwards, seeing_input, seeing_output
from worker.core.models.paths import NEEDED, Receivers, patch_paths
from worker.core.models.restart import Pairs
from worker.core.models.sites import module_at
from worker.core.models.tokens import encode, pad

CLEAN, CORRUPTED = ["Ann Lee plays", "Bo Ray has"], ["Ann Fox plays", "Bo Dee has"]


def measure(logits, pair):
    return logits.log_softmax(-1)[:, 7]


def setup(model):
    batch = pad(model, [encode(model, text, None) for text in [*CLEAN, *CORRUPTED]])
    return batch, run_base(model, batch, sites=NEEDED), Pairs(torch.arange(2), torch.arange(2, 4))


def naive(model, batch, base, sender, receivers, hold_mlps):
    """Three full forwards with hooks, as the papers describe them."""
    corrupted, clean = torch.tensor([2, 3]), torch.tensor([0, 1])
    kept, changes = {}, {}

    def put(site, layer, value):
        replace = seeing_input if site == "z" else seeing_output
        return replace(lambda activation: value.reshape(activation.shape))

    def keep(site, layer):
        def see(activation):
            kept[(site, layer)] = activation.clone()

        return (seeing_input if site in ("z", "resid_pre") else seeing_output)(see)

    def both(*parts):
        def replace(forward):
            for part in parts:
                forward = part(forward)
            return forward

        return replace

    for layer in range(model.n_layers):
        z = base.sites["z"][layer][corrupted].clone()
        if sender.layer == layer and sender.kind == "attn":
            columns = slice(None)
            if sender.head is not None:
                columns = slice(sender.head * model.d_head, (sender.head + 1) * model.d_head)
            z[..., columns] = base.sites["z"][layer][clean][..., columns]
        parts = [put("z", layer, z), keep("z", layer)]
        changes[module_at(model, "z", layer)] = both(*parts)
        mlp = [keep("mlp", layer)]
        if sender == Component(layer, "mlp"):
            mlp.append(put("mlp", layer, base.sites["mlp"][layer][clean]))
        elif hold_mlps:
            mlp.append(put("mlp", layer, base.sites["mlp"][layer][corrupted]))
        changes[module_at(model, "mlp", layer)] = both(*mlp)
    stop = receivers.resid_pre
    if stop is not None and stop < model.n_layers:
        changes[module_at(model, "resid_pre", stop)] = keep("resid_pre", stop)
    with replaced_forwards(changes), torch.no_grad():
        out = model.logits(*(t[corrupted] for t in (batch.ids, batch.mask, batch.position_ids)))
    if stop == model.n_layers:
        return measure(out[:, -1], None)
    second = {}
    if stop is not None:
        resid = kept[("resid_pre", stop)]
        second[module_at(model, "resid_pre", stop)] = seeing_input(lambda activation: resid)
    for r in receivers.components:
        if r.kind == "mlp":
            value = kept[("mlp", r.layer)]
            second[module_at(model, "mlp", r.layer)] = put("mlp", r.layer, value)
        else:
            second[module_at(model, "z", r.layer)] = seeing_input(
                lambda z, r=r: mix(model, z, kept[("z", r.layer)], r.head)
            )
    with replaced_forwards(second), torch.no_grad():
        out = model.logits(*(t[corrupted] for t in (batch.ids, batch.mask, batch.position_ids)))
    return measure(out[:, -1], None)


def mix(model, z, value, head):
    mixed = z.clone()
    columns = slice(head * model.d_head, (head + 1) * model.d_head)
    mixed[..., columns] = value[..., columns]
    return mixed


@pytest.mark.parametrize("hold_mlps", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_paths_equal_three_full_forwards_with_hooks(family, hold_mlps):
    model = make_model(family)
    batch, base, pairs = setup(model)
    senders = [Component(0, "mlp"), Component(0, "attn", 1), Component(1, "attn")]
    start = int(base.mask.int().argmax(-1).max()) + 1
    parallel = family in ("neox", "phi")
    mlp = Receivers(components=(Component(2, "mlp"),))
    head = Receivers(components=(Component(2, "attn", 1), Component(1, "attn", 2)))
    targets = [Receivers(resid_pre=3), Receivers(resid_pre=2), mlp, head]
    for receivers in targets:
        found = patch_paths(
            base, [(s,) for s in senders], receivers, pairs, start, measure, hold_mlps
        )
        for row, sender in zip(found, senders, strict=True):
            expected = naive(model, batch, base, sender, receivers, hold_mlps)
            assert torch.allclose(row, expected, atol=1e-5), (sender, receivers, parallel)


def test_nothing_flows_to_an_earlier_layer():
    model = make_model("llama")
    _, base, pairs = setup(model)
    late = [(Component(2, "mlp"),), (Component(1, "mlp"),)]
    corrupted = measure(base.logits[pairs.corrupted], None)
    for row in patch_paths(base, late, Receivers(resid_pre=1), pairs, 3, measure):
        assert torch.allclose(row, corrupted, atol=1e-5)
