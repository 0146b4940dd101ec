"""`lethe model …`: which models there are, and bringing one under LETHE_DATA."""

from pathlib import Path
from typing import Annotated

import typer

from worker.contract.menu import ModelInfo
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
        str, typer.Argument(help="A Hugging Face folder; with --from-hub a hub id, org/name.")
    ],
    name: Annotated[str, typer.Option(help="What to call it; default: the folder's name.")] = "",
    from_hub: Annotated[
        bool, typer.Option("--from-hub", help="Fetch it over the network now.")
    ] = False,
    revision: Annotated[
        str | None, typer.Option(help="Commit, tag or branch of the hub model.")
    ] = None,
) -> None:
    """Add a model: a folder is linked where it lies, a hub model is fetched once.

    Only safetensors, configuration, tokenizer and card are taken; code and pickles never. A worker
    that is running finds it by itself.
    """
    from worker.core.models.adding import add_folder, add_from_hub

    root = settings().own_models
    if from_hub:
        typer.echo(_line(add_from_hub(path, root, revision)))
    else:
        typer.echo(_line(add_folder(Path(path), root, name)))


@app.command()
def remove(name: Annotated[str, typer.Argument(help="The model's name.")]) -> None:
    """Take an added model out again; the folder that it was linked from stays as it is."""
    from worker.core.models.adding import remove as take_out

    take_out(name, settings().own_models)
    typer.echo(f"{name} is removed")


def _line(info: ModelInfo) -> str:
    if info.problem:
        return f"{info.id}: {info.problem}"
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
