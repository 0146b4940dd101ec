import pytest
import torch

from tests.worker.core.models.families import FAMILIES, make_model
from worker.core.models.base_run import embed, run_base
from worker.core.models.intercept import replaced_forwards, seeing_input, seeing_output
from worker.core.models.restart import Pairs, Patch, measure_rows, run_patches
from worker.core.models.sites import as_batch, module_at
from worker.core.models.suffix import Suffix, unembed
from worker.core.models.tokens import encode, pad

CLEAN = ["Ann Lee plays", "Bo Ray has", "Cy sits"]
CORRUPTED = ["Ann Fox plays", "Bo Dee has", "Al sits"]
SITES = ("attn", "mlp", "z")


def restart(base, patches, pairs, position, measure, whole=False):
    """Measure every patch on every pair, at one position or (`whole`) at all from it on."""
    ends = run_patches(base, patches, pairs, position, whole)
    pair = torch.arange(len(pairs))
    found = measure(base.logits[pairs.corrupted], pair).expand(len(patches), -1).clone()
    if ends.last is not None:
        values = measure_rows(base, ends.last, pair.repeat(len(ends.carried)), measure)
        found[ends.carried] = values.view(len(ends.carried), -1)
    return found


def measure_first(logits, pair):
    return logits.log_softmax(-1)[:, 7]


def make_base(model, clean=CLEAN, corrupted=CORRUPTED):
    prompts = [encode(model, text, None) for text in [*clean, *corrupted]]
    n = len(clean)
    batch = pad(model, prompts)
    return (
        batch,
        run_base(model, batch, sites=SITES),
        Pairs(torch.arange(n), torch.arange(n, 2 * n)),
    )


def naive(model, batch, pairs, patch, positions, source):
    """One full forward with hooks, as anyone would write it."""
    rows = pairs.corrupted

    def put(site, layer):
        def see(activation):
            shape = (len(rows), batch.ids.shape[1])
            view = as_batch(activation.clone(), shape)
            columns = slice(None)
            if patch.head is not None:
                columns = slice(patch.head * model.d_head, (patch.head + 1) * model.d_head)
            for t in positions:
                view[:, t, columns] = source(site, layer)[pairs.clean, t][:, columns]
            return view.view(activation.shape)

        return see

    site = "z" if patch.site == "head" else patch.site
    replace = seeing_input if site in ("z", "resid_pre") else seeing_output
    layers = range(patch.layer, max(patch.stop, patch.layer + 1))
    replacements = {module_at(model, site, k): replace(put(site, k)) for k in layers}
    with replaced_forwards(replacements), torch.no_grad():
        logits = model.logits(batch.ids[rows], batch.mask[rows], batch.position_ids[rows])[:, -1]
    return measure_first(logits, None)


def source_of(base):
    def source(site, layer):
        if site == "resid_pre":
            return base.resid[layer]
        return base.resid[layer + 1] if site == "resid_post" else base.sites[site][layer]

    return source


@pytest.mark.parametrize("family", FAMILIES)
def test_the_base_run_gives_the_models_own_logits(family):
    model = make_model(family)
    batch, base, _ = make_base(model)
    with torch.no_grad():
        expected = model.logits(batch.ids, batch.mask, batch.position_ids)[:, -1]
    assert torch.allclose(base.logits, expected, atol=1e-5)
    assert torch.allclose(unembed(base, base.resid[-1][:, -1]), expected, atol=1e-5)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_restart_from_every_layer_and_position_equals_the_full_forward(family, padded):
    model = make_model(family)
    texts = slice(None) if padded else slice(0, 1)
    _, base, pairs = make_base(model, CLEAN[texts], CORRUPTED[texts])
    assert base.padded == padded
    rows = pairs.corrupted
    first = int(base.mask.int().argmax(-1).max())
    for position in (first, first + 3, base.n_positions - 1):
        suffix = Suffix(base, position)
        for start in range(model.n_layers + 1):
            hidden = base.resid[start][rows, position:]
            for layer in range(start, model.n_layers):
                hidden = suffix.run(layer, hidden, rows)
            assert torch.allclose(unembed(base, hidden[:, -1]), base.logits[rows], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_kind_of_patch_equals_a_full_forward_with_hooks(family):
    model = make_model(family)
    batch, base, pairs = make_base(model)
    last = model.n_layers - 1
    patches = [Patch("resid_pre", 0), Patch("resid_pre", 2), Patch("resid_post", 1)]
    patches += [Patch("resid_post", last), Patch("mlp", 1), Patch("mlp", 0, stop=3)]
    patches += [Patch("mlp", last), Patch("attn", 0), Patch("attn", 1, stop=3)]
    patches += [Patch("head", 1, head=2), Patch("head", last, head=0)]
    first = int(base.mask.int().argmax(-1).max())
    for position in (first + 1, base.n_positions - 1):
        found = restart(base, patches, pairs, position, measure_first)
        for row, patch in zip(found, patches, strict=True):
            expected = naive(model, batch, pairs, patch, [position], source_of(base))
            assert torch.allclose(row, expected, atol=1e-5), patch
    corrupted = measure_first(base.logits[pairs.corrupted], None)
    assert ((found - corrupted).abs().amax(-1) > 1e-3).sum() >= 9  # the patches do something
    everywhere = range(first + 1, base.n_positions)
    found = restart(base, patches, pairs, first + 1, measure_first, whole=True)
    for row, patch in zip(found, patches, strict=True):
        expected = naive(model, batch, pairs, patch, everywhere, source_of(base))
        assert torch.allclose(row, expected, atol=1e-5), patch


@pytest.mark.parametrize("family", FAMILIES)
def test_patching_all_gives_clean_and_patching_nothing_gives_corrupted(family):
    model = make_model(family)
    _, base, pairs = make_base(model)
    clean = measure_first(base.logits[pairs.clean], None)
    corrupted = measure_first(base.logits[pairs.corrupted], None)
    found = restart(base, [Patch("resid_pre", 0)], pairs, 0, measure_first, whole=True)
    assert torch.allclose(found[0], clean, atol=1e-5)
    same = Pairs(pairs.corrupted, pairs.corrupted)
    patches = [Patch("resid_pre", 1), Patch("mlp", 0, stop=3), Patch("attn", 1)]
    patches += [Patch("head", 1, head=1)]
    for row in restart(base, patches, same, 3, measure_first, whole=True):
        assert torch.allclose(row, corrupted, atol=1e-5)


def test_noise_on_embeddings_is_a_corruption_like_any_other():
    model = make_model("llama")
    prompt = encode(model, CLEAN[0], "Ann Lee")
    batch = pad(model, [prompt, prompt])
    embeds = embed(model, batch.ids)
    embeds[1, prompt.subject[0] : prompt.subject[1]] += 1.0
    base = run_base(model, batch, embeds)
    pairs = Pairs(torch.tensor([0]), torch.tensor([1]))
    position = prompt.subject[1] - 1
    found = restart(base, [Patch("resid_post", 1)], pairs, position, measure_first)

    def put(activation):
        view = activation.clone()
        view[:, position] = base.resid[2][:1, position]
        return view

    with replaced_forwards({model.blocks[1]: seeing_output(put)}), torch.no_grad():
        out = model.hf(inputs_embeds=embeds[1:]).logits[:, -1]
    assert torch.allclose(found[0], measure_first(out, None), atol=1e-5)


def test_a_restart_leaves_no_trace_on_the_model():
    model = make_model("llama")
    before = {name: dict(module.__dict__) for name, module in model.hf.named_modules()}
    _, base, pairs = make_base(model)
    restart(base, [Patch("mlp", 0, stop=3)], pairs, 2, measure_first)
    with pytest.raises(ZeroDivisionError):
        restart(base, [Patch("mlp", 0, stop=3)], pairs, 2, lambda logits, pair: 1 / 0)
    assert all("forward" not in module.__dict__ for module in model.hf.modules())
    assert before.keys() == {name for name, _ in model.hf.named_modules()}
