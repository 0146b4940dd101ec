"""Bring a model under Lethe's own root: LETHE_DATA/models, where every worker looks.

A folder is added by links to its files: configuration, tokenizer, card and safetensors, nothing
else, so that a pickle or code in it is not even there. A hub model is fetched, because its user
asked for it, into the layout of the hub's own cache. Limits: a linked folder must stay where it is.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from worker.contract.errors import UserError
from worker.contract.menu import ModelInfo
from worker.core.models.describe import describe_model
from worker.core.models.folder import model_folders, model_id
from worker.core.models.load import DEMO
from worker.core.models.vocabulary import load_tokenizer

KEPT = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "card.json",
    "README.md",
    "LICENSE*",
)


def add_folder(folder: Path, root: Path, name: str = "") -> ModelInfo:
    """Link a Hugging Face folder under `root` as `name` (its own by default); describe it.

    Raises UserError for a folder that Lethe cannot load, and for a name that is taken.
    """
    if not folder.is_dir():
        raise UserError(
            f"{str(folder)!r} is no folder; expected a Hugging Face model's, or a hub id such as "
            f"org/name with --from-hub.",
            field="path",
        )
    folder = folder.resolve()
    name = name or folder.name
    check_name(name, root)
    info = describe_model(name, folder)
    if info.problem:
        raise UserError(info.problem, field="path")
    load_tokenizer(folder)
    target = root / name
    target.mkdir(parents=True)
    for file in sorted({file for pattern in KEPT for file in folder.glob(pattern)}):
        (target / file.name).symlink_to(file.resolve())
    return info.model_copy(update={"path": str(target)})


def add_from_hub(id: str, root: Path, revision: str | None = None) -> ModelInfo:
    """Fetch a hub model's safetensors, tokenizer and card into `root`; describe it.

    Raises UserError for one without safetensors, before anything large is fetched.
    """
    from httpx2 import TransportError  # the hub library's own client
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    check_name(id, root)
    try:
        listed = HfApi().model_info(id, revision=revision)
        names = [file.rfilename for file in listed.siblings or ()]
        if not any(file.endswith(".safetensors") for file in names):
            raise UserError(
                f"{id!r} has no *.safetensors on the hub, only {', '.join(names[:5])}; a pickle "
                f"can run code when it is read. Choose a revision with safetensors.",
                field="path",
            )
        folder = Path(
            snapshot_download(id, revision=listed.sha, cache_dir=root, allow_patterns=list(KEPT))
        )
    except TransportError as error:
        raise UserError(
            f"{id!r} cannot be fetched: the hub is not reached ({error}). Try again where there is "
            f"a network, or bring the folder and add it with `lethe model add PATH`.",
            field="path",
        ) from None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{id!r} cannot be fetched: {first}", field="path") from None
    info = describe_model(id, folder)
    if info.problem:
        remove(id, root)
        raise UserError(info.problem, field="path")
    return info


def remove(name: str, root: Path) -> None:
    """Take a model out of `root` again: links are deleted, what was fetched is deleted."""
    folders = {model_id(folder, [root]): folder for folder in model_folders([root])}
    if name not in folders:
        known = ", ".join(sorted(folders)) or "none"
        raise UserError(f"No added model {name!r}. There are: {known}.", field="name")
    folder = folders[name]
    hub = [path for path in folder.parents if path.name.startswith("models--")]
    shutil.rmtree(hub[0] if hub else folder)


def check_name(name: str, root: Path) -> None:
    """Refuse a name that no model can have under `root`, or that is taken."""
    parts = Path(name).parts
    if not parts or Path(name).is_absolute() or any(p.startswith((".", "models--")) for p in parts):
        raise UserError(
            f"{name!r} is no name for a model; expected one such as my-model or org/name.",
            field="name",
        )
    taken = {model_id(folder, [root]) for folder in model_folders([root])}
    if name == DEMO or name in taken or (root / name).exists():
        raise UserError(
            f"There is a model {name!r} already; choose another with --name, or take that one out "
            f"with `lethe model remove {name}`.",
            field="name",
        )
