import numpy as np
import pytest

from tests.worker.core.localization.planted import CARRY, FACTS, STORE, make_planted
from tests.worker.core.models.families import make_model
from worker.contract.errors import UserError
from worker.contract.progress import Quiet
from worker.core.findings import Job
from worker.core.localization import attribution_patching, eap, eap_ig, eap_ig_activations
from worker.core.patching.edges import readers, senders

METHODS = {"eap": eap, "eap_ig": eap_ig, "eap_ig_activations": eap_ig_activations}
ANY = {"min_probability": 0.0, "keep_raised": True, "corruption": "random_tokens"}
SUMMED = ["gpt2", "neox", "llama", "phi", "phi3", "gemma2", "opt", "qwen3"]


def score(method, model, facts, **options):
    return method.localize(model, facts, method.Options(**options), Job(0, Quiet()))


@pytest.mark.parametrize("direction", ["clean", "corrupted"])
@pytest.mark.parametrize("family", SUMMED)
def test_edges_that_leave_a_component_add_up_to_its_attribution(family, direction):
    model, facts = make_model(family), FACTS[:2]
    edges = score(eap, model, facts, aggregate="signed", direction=direction, **ANY)
    nodes = score(attribution_patching, model, facts, direction=direction, **ANY)
    ours, theirs = edges.arrays["components"], nodes.arrays["components"]
    assert ours.axes[0].labels == theirs.axes[0].labels
    # Through a post-norm an attention's change is not the sum of its heads' linear shares.
    same = [family != "gemma2" or not name.endswith(".attn") for name in ours.axes[0].labels]
    scale = np.abs(theirs.values).max()
    assert scale > 1e-4
    np.testing.assert_allclose(ours.values[same], theirs.values[same], atol=1e-4 * max(1.0, scale))


@pytest.mark.parametrize("name", METHODS)
def test_the_planted_circuit_has_the_largest_edges(name):
    model = make_planted()
    found = score(METHODS[name], model, FACTS[:4])
    assert found.summary["components.top_mlp"] == STORE
    assert found.summary["components.top_head"] == CARRY
    top = {row[:2] for row in found.tables["edges"].rows[:3]}
    assert (CARRY, "logits") in top
    assert (STORE, "blocks.2.attn.kv.0.v") in top
    edges = found.arrays["edges"]
    assert edges.values.shape == (len(senders(model)), len(readers(model)))


def test_no_edge_runs_backwards():
    found = score(eap, make_model("llama"), FACTS[:2], **ANY).arrays["edges"]
    sources, targets = (axis.labels for axis in found.axes)
    for i, source in enumerate(sources):
        for j, target in enumerate(targets):
            if source == "input" or target == "logits":
                continue
            here, there = source.split("."), target.split(".")
            before = int(here[1]) < int(there[1])
            before |= here[1] == there[1] and here[2] == "attn" and there[2] == "mlp"
            assert before or found.values[i, j] == 0, (source, target)


def test_a_line_of_one_left_point_is_edge_attribution_on_the_corrupted_run():
    model = make_model("gpt2")
    one = score(eap_ig, model, FACTS[:2], steps=1, points="left", **ANY)
    plain = score(eap, model, FACTS[:2], direction="corrupted", **ANY)
    np.testing.assert_allclose(
        one.arrays["edges"].values, plain.arrays["edges"].values, atol=1e-4, rtol=1e-4
    )


def test_slopes_along_the_activations_add_up_to_the_whole_effect_of_a_component():
    """Integrated finely, the edges that leave an MLP sum to what restoring it really does."""
    from worker.core.localization import activation_patching

    model = make_model("llama")
    fine = score(eap_ig_activations, model, FACTS[:1], steps=32, aggregate="signed", **ANY).arrays[
        "components"
    ]
    real = score(activation_patching, model, FACTS[:1], places="whole", heads=False, **ANY)
    fact = real.attribution.facts[0]
    shares = dict(
        zip(real.arrays["components"].axes[0].labels, real.arrays["components"].values, strict=True)
    )
    for name, value in zip(fine.axes[0].labels, fine.values, strict=True):
        if name in shares:
            whole = shares[name] * (fact.clean - fact.corrupted)
            assert value == pytest.approx(whole, abs=2e-2 * max(1.0, abs(whole))), name


def test_a_residual_stream_that_is_no_sum_has_no_edges():
    with pytest.raises(UserError, match="not the sum"):
        score(eap, make_model("opt_post_norm"), FACTS[:2], **ANY)
