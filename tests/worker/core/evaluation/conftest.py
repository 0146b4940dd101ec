"""An edit of the tiny model, as delta files: an answer changed, and one only suppressed."""

from pathlib import Path

import pytest

from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.core.asking.before_after import BeforeAfter
from worker.core.findings import Job
from worker.core.models.delta_files import save_delta
from worker.core.unlearning import localized_finetuning


@pytest.fixture(scope="session")
def edited(model, selection, tmp_path_factory) -> BeforeAfter:
    """The tiny model with two facts edited through its first MLPs."""
    options = localized_finetuning.Options(
        steps=50,
        learning_rate=1e-2,
        general_sentences=4,
        context=8,
        general_weight=0,
        keep="last",
        retain_floor=0,  # so small a model loses at once what it is not trained to keep
    )
    mask = Mask(components=("blocks.0.mlp", "blocks.1.mlp"))
    found = localized_finetuning.unlearn(model, selection, mask, options, Job(0, Quiet()))
    return BeforeAfter(model, (save(model, found, tmp_path_factory.mktemp("edit")),))


def save(model, found, folder: Path) -> Path:
    path = folder / "delta.safetensors"
    receipt = found.receipt
    save_delta(
        path,
        found.delta,
        model=model,
        before_hash=receipt.hash_before,
        after_hash=receipt.hash_after,
    )
    return path
