"""An edited model as a Hugging Face folder that loads anywhere, plain or packed into a zip file."""

import re
import shutil
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

from worker.contract.errors import UserError
from worker.contract.progress import Report
from worker.contract.result import Result
from worker.core.findings import Findings
from worker.core.model_card import write_card
from worker.core.models.deltas import edited, state_checksum
from worker.core.models.model import Model
from worker.core.models.placement import placement_of

ZIP = "model.zip"
SHARD = "2GB"
MAX_BYTES = 64 * 2**30
"""Of weights in one zip file."""


def export_folder(
    model: Model, deltas: Sequence[Path], out: Path, results: Sequence[Result] = ()
) -> str:
    """Save base + edits with tokenizer and card into `out`; return the edited weights' hash.

    `results` are what is known of the edit: its own run and evaluations made of it. Raises
    UserError when `out` already holds something.
    """
    if out.exists() and any(out.iterdir()):
        raise UserError(f"{str(out)!r} is not empty; expected a new folder.", field="out")
    out.mkdir(parents=True, exist_ok=True)
    with edited(model, deltas):
        digest = state_checksum(model, model.changed)
        _save(model, out)
    model.tokenizer.save_pretrained(out)
    (out / "README.md").write_text(write_card(model, digest, results), encoding="utf-8")
    return digest


def _save(model: Model, out: Path) -> None:
    """Write the weights; of a model with blocks elsewhere in shards that memory holds."""
    if placement_of(model.hf) is None:
        model.hf.save_pretrained(out)
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Attempting to save a model with offloaded modules")
        model.hf.save_pretrained(out, max_shard_size=SHARD)


def pack_folder(
    model: Model, deltas: Sequence[Path], out: Path, results: Sequence[Result], report: Report
) -> Findings:
    """Write the folder of base + edits as `out`/model.zip.

    Raises UserError when the weights are more than MAX_BYTES or than the disk has room for.
    """
    out.mkdir(parents=True, exist_ok=True)
    n_bytes = sum(p.numel() * p.element_size() for p in model.hf.parameters())
    _check_room(out, n_bytes)
    report.progress(0.05, f"writing {n_bytes / 1e9:.3g} GB of weights")
    name = re.sub(r"[^\w.-]+", "-", model.id).strip("-.") + "-edited"
    folder = out / "folder" / name
    digest = export_folder(model, deltas, folder, results)
    _pack(folder, out / ZIP, report)
    shutil.rmtree(folder.parent)
    return Findings(
        summary={"export.parameters": model.hf.num_parameters(), "export.weights": digest[:16]},
        caption=f"{name}: {model.id} with {len(deltas)} edit{'s' if len(deltas) > 1 else ''}, "
        f"edited weights {digest[:16]}.",
        files={"model": ZIP},
    )


def _check_room(out: Path, n_bytes: int) -> None:
    """Refuse before anything is written: folder, zip and the stored copy are there at one time."""
    if n_bytes > MAX_BYTES:
        raise UserError(
            f"The weights are {n_bytes / 1e9:.0f} GB; expected at most {MAX_BYTES / 1e9:.0f} GB in "
            f"one zip file. Take the bundle and write the folder with `lethe export`.",
            field="model",
        )
    free = shutil.disk_usage(out).free
    if free < 3 * n_bytes:
        raise UserError(
            f"The disk has {free / 1e9:.3g} GB free; writing and packing the folder needs "
            f"{3 * n_bytes / 1e9:.3g} GB. Free some space, or take the delta.",
            field="model",
        )


def _pack(folder: Path, target: Path, report: Report) -> None:
    """Pack a folder's files and delete each once it is packed. Weights are not compressed: random
    mantissas hardly shrink, and deflating takes longer than everything else together."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    with zipfile.ZipFile(target, "w") as packed:
        for number, path in enumerate(files):
            report.progress(0.5 + 0.5 * number / len(files), f"packing {path.name}")
            kind = zipfile.ZIP_STORED if path.suffix == ".safetensors" else zipfile.ZIP_DEFLATED
            packed.write(path, path.relative_to(folder.parent).as_posix(), kind)
            path.unlink()
