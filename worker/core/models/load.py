"""Find and load models: the bundled one, and folders under the roots that the administrator named.

Safetensors only, no pickle, no remote code, nothing fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from worker.contract.base import unknown
from worker.contract.errors import UserError
from worker.contract.spec import LoadIn
from worker.core.demo.paths import WEIGHTS
from worker.core.models.finite_weights import refuse_not_finite, refuse_overflow
from worker.core.models.folder import check_loadable, model_folders, model_id, read_config
from worker.core.models.model import Model
from worker.core.models.placement import place, placement_of
from worker.core.models.stored_values import read_values
from worker.core.models.vocabulary import check_tokenizer, load_tokenizer
from worker.core.models.weightless import (
    attention_of,
    make_weightless,
    read_architecture,
    refuse_unfit,
)

DEMO = "demo"
Tell = Callable[[str], None]
"""Is given words about how far a loading is; may raise Cancelled."""
_TOLD = 20  # times that a loading tells how far it is


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
    raises UserError where that does not help either. Without `room` all is on `device`. Raises
    NotFinite where a stored weight is NaN or infinite, or too large for the dtype.
    """
    folder = find_model(id_or_path, roots)
    config = read_config(folder)
    files = check_loadable(folder, config)
    name = DEMO if folder == WEIGHTS else model_id(folder, roots)
    # Before gigabytes are read: all that the headers tell.
    weightless = make_weightless(name, folder)
    check_tokenizer(folder, weightless.n_rows)
    values = read_values(folder, lambda words: tell(f"loading model {name}: {words}"))
    refuse_not_finite(weightless, values)
    # Imported here because it takes seconds, and most refusals need none of it.
    from transformers import AutoModelForCausalLM

    n_bytes = sum(path.stat().st_size for path in files)
    tell(f"loading model {name}: {n_bytes / 1e9:.3g} GB of weights")
    chosen = compute_dtype(config, dtype, torch.device(device))

    def read(**given: Any) -> Any:
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            folder,
            config=read_architecture(folder),
            dtype=chosen,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            attn_implementation=attention_of(weightless.hf.config),
            output_loading_info=True,
            **given,
        )
        hf, info = loaded
        refuse_unfit(folder, info)
        return hf

    with _telling(name, tell), _reading(folder):
        hf = _read(name, weightless, read, chosen, room, load_in, tell)
    tell(f"loading model {name}: its tokenizer")
    tokenizer = load_tokenizer(folder)
    if placement_of(hf) is None:
        if torch.device(device).type != "cpu":
            tell(f"loading model {name}: moving it to {device}")
        hf = hf.to(device)
    model = Model(name, hf, tokenizer, folder, _revision(folder), values.digests)
    refuse_overflow(model, chosen)
    if placement_of(hf) is None:
        _refuse_unrunnable(folder, model)
    return model


def _read(
    name: str,
    weightless: Model,
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
    placement = None if room is None else place(weightless, dtype, room)
    if placement is None:
        return read()
    from worker.core.models.dispatch import read_placed

    tell(f"loading model {name}: {placement.words}")
    return read_placed(weightless.hf, placement, read)


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


def _refuse_unrunnable(folder: Path, model: Model) -> None:
    """Run the model on two tokens: a configuration may be odd where no loading looks."""
    ids = torch.tensor([[0, 1 % model.n_rows]], device=model.device)
    try:
        with torch.no_grad():
            model.hf(input_ids=ids)
    except (MemoryError, torch.OutOfMemoryError, UserError):
        raise
    except Exception as error:
        if "memory" in str(error).lower():
            raise
        reason = " ".join(str(error).split())[:300].rstrip(".")
        raise UserError(
            f"{folder.name!r} is loaded but cannot be run ({type(error).__name__}: {reason}). A "
            f"value in its config.json is odd: copy it again from where the model came from.",
            field="model",
        ) from error


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Turn what a file's reading raises into words; what memory or code lacks stays as it is."""
    try:
        yield
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder.name!r} cannot be loaded: {' '.join(str(error).split())[:300]}. Copy it "
            f"again from where the model came from, or save it anew with a current transformers.",
            field="model",
        ) from error


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
