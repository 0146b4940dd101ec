import numpy as np
import pytest
import torch

from tests.worker.core.explore.plain import (
    FAMILIES,
    forward,
    ids_of,
    look_at,
    model_of,
    prompts_of,
    read_out,
)
from tests.worker.core.models.families import make_model
from worker.contract.errors import UserError


def plain_grid(model, text):
    """Logits of every cell: embeddings, after each attention, after each MLP."""
    seen = forward(model, ids_of(model, text))
    rows = [seen.pre[0]]
    for layer in range(model.n_layers):
        rows += [seen.pre[layer] + seen.attn[layer], seen.post[layer]]
    return read_out(model, torch.cat(rows)), seen.logits[0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("which", ["clean", "corrupted"])
def test_every_cell_reads_as_with_plain_hooks(family, which):
    model, prompts = model_of(family), prompts_of(family)
    found = look_at("lens", model, **prompts, which=which)
    text = prompts["prompt" if which == "clean" else "corrupted"]
    logits, own = plain_grid(model, text)
    log_probs, final = logits.log_softmax(-1), own.log_softmax(-1)
    target = found.view["target"]["ids"][0]
    expected = {
        "probability": log_probs.exp().amax(-1),
        "target": log_probs.exp()[..., target],
        "rank": (logits > logits[..., target, None]).sum(-1).float(),
        "entropy": -(log_probs.exp() * log_probs).sum(-1),
        "divergence": (final.exp() * (final - log_probs)).sum(-1),
    }
    for name, values in expected.items():
        # Two tokens whose logits differ by rounding alone may change places.
        tolerance = 1 if name == "rank" else 1e-4
        np.testing.assert_allclose(
            found.arrays[f"lens.{name}"].values, values.numpy(), atol=tolerance, err_msg=name
        )
    assert torch.allclose(own, logits[-1], atol=1e-4), "the last row is the model's own output"
    assert np.allclose(found.arrays["lens.divergence"].values[-1], 0, atol=1e-5)


def test_the_grid_can_be_asked_for_in_tiles():
    model, prompts = model_of("llama"), prompts_of("llama")
    whole = look_at("lens", model, **prompts)
    tile = look_at("lens", model, **prompts, positions=(3, 6))
    for name, array in tile.arrays.items():
        np.testing.assert_allclose(array.values, whole.arrays[name].values[:, 3:6], atol=1e-5)
    assert tile.arrays["lens.target"].axes[1].labels == ("3", "4", "5")
    assert [row[3:6] for row in whole.view["top"]] == tile.view["top"]
    with pytest.raises(UserError, match="within 0 to"):
        look_at("lens", model, **prompts, positions=(3, 99))


@pytest.mark.parametrize("after", ["mlp", "attn"])
def test_the_rows_that_are_asked_for_read_as_in_the_whole_grid(after):
    model, prompts = model_of("llama"), prompts_of("llama")
    whole = look_at("lens", model, **prompts)
    part = look_at("lens", model, **prompts, after=after)
    labels = whole.arrays["lens.target"].axes[0].labels
    last = len(labels) - 1
    rows = [i for i, row in enumerate(labels) if i in (0, last) or row.endswith(after)]
    assert part.arrays["lens.target"].axes[0].labels == tuple(labels[i] for i in rows)
    for name, array in part.arrays.items():
        np.testing.assert_allclose(array.values, whole.arrays[name].values[rows], atol=1e-5)
    assert part.summary == pytest.approx(whole.summary)


def test_a_long_prompt_shows_its_last_tokens():
    found = look_at("lens", model_of("llama"), prompt="ab " * 30 + "ab")
    assert found.view["positions"] == [29, 93]
    assert found.arrays["lens.target"].values.shape == (7, 64)


def test_words_of_cells_are_in_the_vocabulary_given():
    found = look_at("lens", model_of("demo"), **prompts_of("demo"), top=3)
    ids = {str(token) for row in found.view["top"] for cell in row for token in cell}
    assert ids == set(found.view["vocabulary"])
    likeliest = found.view["vocabulary"][str(found.view["top"][-1][-1][0])]
    assert likeliest == " basketball"


def test_a_stream_with_norms_between_is_read_after_whole_blocks():
    found = look_at("lens", make_model("opt_post_norm"), prompt="ab cd is at")
    assert found.arrays["lens.target"].axes[0].labels == ("embed", "0.mlp", "1.mlp", "2.mlp")
    assert "whole blocks only" in found.view["problems"][0]


def test_without_a_corrupted_prompt_there_is_none_to_read():
    with pytest.raises(UserError, match="no corrupted prompt"):
        look_at("lens", model_of("llama"), prompt="ab", which="corrupted")
