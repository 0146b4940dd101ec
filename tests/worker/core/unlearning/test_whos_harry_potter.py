"""A small text forgotten by a tiny model, and what the result shows of the three stages."""

import json

import pytest

from worker.contract.errors import UserError
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.core.findings import Job
from worker.core.models.deltas import checksum
from worker.core.unlearning import whos_harry_potter as method

TEXT = "Ada Lund plays tennis in Zork. Bo saw Ada Lund in Zork. Then Ada Lund loves chess. "
MASK = Mask(components=("blocks.1.mlp",))
SMALL = {
    "text": "mine",
    "dictionary": json.dumps({"Ada Lund": "Ed", "Zork": "the town"}),
    "block": 40,
    "reinforce_steps": 10,
    "reinforce_rate": 1e-2,
    "steps": 10,
    "probe_every": 2,
    "general_weight": 0,
    "keep": "last",
    "retain_floor": 0,
    "learning_rate": 5e-3,
}


@pytest.fixture
def job(tmp_path) -> Job:
    path = tmp_path / "text.txt"
    path.write_text(TEXT * 3, encoding="utf-8")
    return Job(seed=0, report=Quiet(), texts={"mine": str(path)})


def test_the_text_is_trained_away_and_the_base_is_put_back(model, selection, job) -> None:
    before = checksum(model)
    found = method.unlearn(model, selection, MASK, method.Options(**SMALL), job)
    assert checksum(model) == before
    assert found.receipt.outside_unchanged and found.receipt.base_restored
    assert {name.split(".mlp.")[0] for name in found.delta} == {"model.layers.1"}
    assert found.arrays["curve.forget_probability"].title.startswith("Familiarity")
    assert found.summary["familiarity.n_prompts"] > 0
    assert found.summary["reinforced.loss.last"] < found.summary["reinforced.loss.first"]


def test_the_result_shows_marked_tokens_generic_predictions_and_the_table(
    model, selection, job
) -> None:
    found = method.unlearn(model, selection, MASK, method.Options(**SMALL), job)
    tokens = found.view["tokens"]
    assert "".join(t["text"] for t in tokens).startswith("Ada Lund plays tennis")
    assert sum(token["mark"] for token in tokens) > 0
    assert {token["anchor"] for token in tokens} == {"", "Ada Lund", "Zork"}
    labelled = next(token for token in tokens if token["label"])
    assert len(labelled["original"]) == len(labelled["generic"]) == 5
    assert labelled["generic"][0][0] == labelled["label"]
    assert found.tables["dictionary"].rows[0][:3] == ("Ada Lund", "Ed", 9)


def test_a_search_reports_every_trial(model, selection, job) -> None:
    options = method.Options(**SMALL | {"steps": 3, "search": "small"})
    found = method.unlearn(model, selection, MASK, options, job)
    assert len(found.tables["search"].rows) == 7
    scores = [row[2] for row in found.tables["search"].rows if row[2] is not None]
    assert found.summary["training.score"] == max(scores)


def test_blocks_that_the_model_cannot_read_are_refused(model, selection, job) -> None:
    with pytest.raises(UserError, match="reads at most 128"):
        method.unlearn(model, selection, MASK, method.Options(**SMALL | {"block": 500}), job)
