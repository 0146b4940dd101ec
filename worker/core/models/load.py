"""Find and load models: the bundled one, and folders under the roots that the administrator named.

Safetensors only, no pickle, no remote code, nothing fetched.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from worker.contract.base import unknown
from worker.contract.errors import UserError
from worker.contract.spec import LoadIn
from worker.core.demo.paths import WEIGHTS
from worker.core.models.model import Model
from worker.core.models.placement import place, placement_of

DEMO = "demo"
Tell = Callable[[str], None]
"""Is given words about how far a loading is; may raise Cancelled."""
_TOLD = 20  # times that a loading tells how far it is
_MAX_DEPTH = 4  # a hub cache lies three folders deep: models--org--name/snapshots/revision


def load_model(
    id_or_path: str,
    *,
    device: str | torch.device = "cpu",
    dtype: str | torch.dtype = "auto",
    roots: Sequence[Path] = (),
    tell: Tell = lambda words: None,
    room: Mapping[str, int] | None = None,
    load_in: LoadIn | None = None,
) -> Model:
    """Load a model by id ("demo", or a folder's name under a root) or by its path under a root.

    dtype "auto" keeps the stored one, but computes in float32 on a CPU, where half precision is
    slow and a logit near 20 would have a step of 0.125. `room` is what each device may take, of
    which `device` is the first: a model that it cannot hold whole has blocks on the others, and
    raises UserError where that does not help either. Without `room` all is on `device`.
    """
    folder = find_model(id_or_path, roots)
    config = read_config(folder)
    check_loadable(folder, config)
    # Imported here because it takes seconds, and the checks above need none of it.
    from transformers import AutoModelForCausalLM, AutoTokenizer

    name = DEMO if folder == WEIGHTS else model_id(folder, roots)
    n_bytes = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    tell(f"loading model {name}: {n_bytes / 1e9:.3g} GB of weights")
    soft_caps = (config.get("text_config") or config).get("attn_logit_softcapping")
    chosen = compute_dtype(config, dtype, torch.device(device))

    def read(**given: Any) -> Any:
        return AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=chosen,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            # Only the eager attention applies soft caps to the scores.
            attn_implementation="eager" if soft_caps else "sdpa",
            **given,
        )

    with _telling(name, tell):
        hf = _read(name, folder, read, chosen, room, load_in, tell)
    tell(f"loading model {name}: its tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    if placement_of(hf) is None:
        if torch.device(device).type != "cpu":
            tell(f"loading model {name}: moving it to {device}")
        hf = hf.to(device)
    return Model(name, hf, tokenizer, folder, revision=_revision(folder))


def _read(
    name: str,
    folder: Path,
    read: Callable[..., Any],
    dtype: torch.dtype,
    room: Mapping[str, int] | None,
    load_in: LoadIn | None,
    tell: Tell,
) -> Any:
    """Read the weights: rounded, over several devices, or as they are."""
    if load_in == "8bit":
        # Imported here, as below, because few models are loaded so.
        from worker.core.models.int8 import Int8Config

        return read(quantization_config=Int8Config())
    weightless = None if room is None else make_weightless(name, folder)
    placement = None if weightless is None else place(weightless, dtype, room or {})
    if placement is None or weightless is None:
        return read()
    from worker.core.models.dispatch import read_placed

    tell(f"loading model {name}: {placement.words}")
    return read_placed(weightless.hf, placement, read)


def make_weightless(name: str, folder: Path) -> Model:
    """Make a model of the folder's configuration, on the meta device: sizes without values."""
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    with torch.device("meta"):
        hf = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    return Model(name, hf, PreTrainedTokenizerFast.__new__(PreTrainedTokenizerFast), folder)


def find_model(id_or_path: str, roots: Sequence[Path] = ()) -> Path:
    """Find a model's folder; raise UserError that lists the models there are."""
    if id_or_path == DEMO:
        if not (WEIGHTS / "config.json").exists():
            raise UserError(
                f"The bundled model's weights are not in {WEIGHTS}; expected config.json and "
                f"model.safetensors. Train it with `make demo`.",
                field="model",
            )
        return WEIGHTS
    folders = {model_id(folder, roots): folder for folder in model_folders(roots)}
    if id_or_path in folders:
        return folders[id_or_path]
    if Path(id_or_path).is_absolute():
        return _folder_under_roots(Path(id_or_path), roots)
    raise unknown("model", id_or_path, [DEMO, *sorted(folders)], field="model")


def read_config(folder: Path) -> dict[str, Any]:
    """Read a model folder's config.json."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder / 'config.json'} cannot be read ({error}); expected a Hugging Face model's "
            f"configuration. Save the model with save_pretrained().",
            field="model",
        ) from None
    if not isinstance(config, dict):
        raise UserError(f"{folder / 'config.json'} holds no JSON object.", field="model")
    return config


def check_loadable(folder: Path, config: dict[str, Any]) -> None:
    """Refuse pickled weights and models that bring their own code."""
    if not list(folder.glob("*.safetensors")):
        pickles = sorted(p.name for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth"))
        found = f"only {', '.join(pickles[:3])}" if pickles else "no weights"
        raise UserError(
            f"{folder.name!r} has {found}; expected *.safetensors, because a pickle can run code "
            f"when it is read. If you trust it, convert it yourself: "
            f'python -c "from transformers import AutoModelForCausalLM as M, AutoTokenizer as T; '
            f"M.from_pretrained('{folder}').save_pretrained('{folder}-safetensors'); "
            f"T.from_pretrained('{folder}').save_pretrained('{folder}-safetensors')\"",
            field="model",
        )
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    kind = str(config.get("model_type", ""))
    if kind not in CONFIG_MAPPING_NAMES:
        raise UserError(
            f"{folder.name!r} is of type {kind!r}, which transformers does not know"
            + (" without running code from its folder" if "auto_map" in config else "")
            + "; Lethe runs no code that comes with a model. Choose a model of a built-in type.",
            field="model",
        )


def model_id(folder: Path, roots: Sequence[Path]) -> str:
    """Name a model folder by its path under its root; a hub cache's folder by its hub name."""
    for root in roots:
        if folder.resolve().is_relative_to(root.resolve()):
            parts = folder.resolve().relative_to(root.resolve()).parts or (folder.name,)
            hub = [part for part in parts if part.startswith("models--")]
            return hub[0][len("models--") :].replace("--", "/") if hub else "/".join(parts)
    return folder.name


def _folder_under_roots(folder: Path, roots: Sequence[Path]) -> Path:
    real = folder.resolve()
    if not any(real.is_relative_to(root.resolve()) for root in roots):
        raise UserError(
            f"{str(folder)!r} is under none of the model roots "
            f"({', '.join(map(str, roots)) or 'there is none'}). Name its root in "
            f"LETHE_MODEL_ROOTS.",
            field="model",
        )
    if not (real / "config.json").exists():
        raise UserError(
            f"{str(folder)!r} has no config.json; expected a Hugging Face model folder.",
            field="model",
        )
    return folder


def model_folders(roots: Sequence[Path]) -> list[Path]:
    found: dict[Path, Path] = {}
    for root in roots:
        for here, below, files in os.walk(root):
            depth = len(Path(here).relative_to(root).parts)
            if "config.json" in files:
                found.setdefault(Path(here).resolve(), Path(here))
                below.clear()
            if depth >= _MAX_DEPTH:
                below.clear()
            below[:] = sorted(name for name in below if not name.startswith("."))
    return list(found.values())


def compute_dtype(
    config: dict[str, Any], dtype: str | torch.dtype, device: torch.device
) -> torch.dtype:
    """Say in which dtype a model is loaded; see `load_model`."""
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype == "auto" and device.type == "cpu":
        return torch.float32
    if dtype == "auto":
        text = config.get("text_config") or config
        dtype = str(text.get("dtype") or text.get("torch_dtype") or "float32")
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    if dtype not in known:
        raise unknown("dtype", dtype, ["auto", *known], field="dtype")
    return known[dtype]


@contextmanager
def _telling(name: str, tell: Tell) -> Iterator[None]:
    """Tell how far transformers is with a model's weights, tensor by tensor."""
    from transformers.utils.logging import disable_progress_bar, set_tqdm_hook

    def watched(tensors: Any) -> Iterator[Any]:
        every = max(1, len(tensors) // _TOLD)
        for number, tensor in enumerate(tensors):
            if number % every == 0:
                tell(f"loading model {name}: {number} of {len(tensors)} tensors")
            yield tensor

    def hook(factory: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        iterated = args and hasattr(args[0], "__len__") and kwargs.get("desc") == "Loading weights"
        return watched(args[0]) if iterated else factory(*args, **kwargs)

    disable_progress_bar()
    before = set_tqdm_hook(hook)
    try:
        yield
    finally:
        set_tqdm_hook(before)


def _revision(folder: Path) -> str | None:
    return folder.name if folder.parent.name == "snapshots" else None
