import pytest
import torch

from tests.worker.core.explore.plain import FAMILIES, look_at, model_of, prompts_of
from worker.contract.errors import UserError


def cells_of(model, n):
    last = model.n_layers - 1
    return [
        {"site": "resid", "layer": 0, "token": n - 4},
        {"site": "attn", "layer": 1, "token": n - 1},
        {"site": "mlp", "layer": last, "token": n - 1},
        {"site": "head", "layer": last, "head": 1},
    ]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_one_cell_does_what_the_map_says(family, direction):
    model, prompts = model_of(family), prompts_of(family)
    asked = {**prompts, "direction": direction}
    grids = look_at("patching", model, **asked, sites=("resid", "attn", "mlp", "head")).arrays
    n = len(model.tokenizer(prompts["prompt"])["input_ids"])
    for cell in cells_of(model, n):
        view = look_at("patch", model, **asked, cells=[cell], n_new=0).view
        across = cell.get("token", cell.get("head"))
        for metric in ("probability", "logit_diff"):
            expected = grids[f"patch.{cell['site']}.{metric}"].values[cell["layer"], across]
            assert view["effects"][metric]["patched"] == pytest.approx(expected, abs=1e-4)
        assert view["patched"]["answers"][0]["probability"] == pytest.approx(
            view["effects"]["probability"]["patched"], abs=1e-6
        )


def test_cells_work_together_and_each_alone():
    model, prompts = model_of("llama"), prompts_of("llama")
    n = len(model.tokenizer(prompts["prompt"])["input_ids"])
    cells = cells_of(model, n)[:3]
    effect = look_at("patch", model, **prompts, cells=cells, n_new=0).view["effects"]["logit"]
    alone = [
        look_at("patch", model, **prompts, cells=[cell], n_new=0).view["effects"]["logit"]["joint"]
        for cell in cells
    ]
    assert effect["single"] == pytest.approx(alone, abs=1e-4)
    assert effect["sum"] == pytest.approx(sum(alone), abs=1e-4)
    assert abs(effect["joint"] - effect["sum"]) > 1e-3, "what is patched interacts"


def test_all_tokens_after_the_last_block_make_the_other_prompt():
    model, prompts = model_of("demo"), prompts_of("demo")
    cell = {"site": "resid", "layer": model.n_layers - 1}
    view = look_at("patch", model, **prompts, cells=[cell], n_new=4).view
    clean = look_at("predictions", model, **prompts, n_new=4).view
    assert view["patched"]["top"][0]["token"] == " basketball"
    assert view["unpatched"]["top"][0]["token"] == " baseball"
    rows = [row for row in clean["top"] if row["prompt"] == "clean"]
    assert [row["id"] for row in view["patched"]["top"][:3]] == [row["id"] for row in rows[:3]]
    assert view["unpatched"]["continuation"] == {
        key: clean["continuation"][1][key] for key in ("text", "tokens")
    }


def test_it_goes_on_from_the_patched_states():
    """The first block's output patched everywhere leaves nothing of the corrupted prompt."""
    model, prompts = model_of("llama"), prompts_of("llama")
    view = look_at("patch", model, **prompts, cells=[{"layer": 0}], n_new=5).view
    clean = look_at("predictions", model, **prompts, n_new=5).view["continuation"]
    # Keys and values of the first block itself are still the corrupted prompt's.
    ids = model.tokenizer(prompts["corrupted"], return_tensors="pt")["input_ids"]
    assert view["patched"]["continuation"]["tokens"][:1] == clean[0]["tokens"][:1]
    assert view["unpatched"]["continuation"]["text"] == model.tokenizer.decode(
        model.hf.generate(
            ids, max_new_tokens=5, do_sample=False, attention_mask=torch.ones_like(ids)
        )[0, ids.shape[1] :],
        skip_special_tokens=True,
    )


def test_answers_of_several_tokens_go_along():
    model, prompts = model_of("gemma2"), prompts_of("gemma2")
    asked = {**prompts, "target": "xy", "distractor": "ball"}
    grid = look_at("patching", model, **asked, sites=("mlp",)).arrays["patch.mlp.logit_diff"].values
    view = look_at(
        "patch", model, **asked, cells=[{"site": "mlp", "layer": 1, "token": 5}], n_new=2
    ).view
    assert view["effects"]["logit_diff"]["patched"] == pytest.approx(grid[1, 5], abs=1e-4)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ({"layer": 9, "token": 0}, "has layers 0 to 2"),
        ({"layer": 0, "token": 99}, "has tokens 0 to"),
        ({"layer": 0, "head": 1}, "belongs to the site head"),
        ({"site": "head", "layer": 0}, "belongs to the site head"),
        ({"site": "head", "layer": 0, "head": 4}, "has heads 0 to 3"),
    ],
)
def test_a_cell_that_is_not_there_is_named(cell, words):
    with pytest.raises(UserError, match=words):
        look_at("patch", model_of("llama"), **prompts_of("llama"), cells=[cell])


def test_without_a_cell_nothing_can_be_patched():
    with pytest.raises(UserError, match="No cell is chosen"):
        look_at("patch", model_of("llama"), **prompts_of("llama"))
