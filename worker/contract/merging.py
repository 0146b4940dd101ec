"""One menu of what several workers announced: all that at least one of them can do."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

from worker.contract.menu import Announcement, MethodInfo, ModelInfo

T = TypeVar("T")


def merge(menus: Sequence[Announcement]) -> Announcement:
    """Merge what workers announced; of what several have, the first worker's words are taken.

    A model is shown as the worker has it that can do most with it: one without a problem before
    one with, one with room for its weights before one without, one that holds it before one that
    would load it. The memory is the largest device's.
    """
    if len(menus) == 1:
        return menus[0]
    devices = dict.fromkeys(menu.device for menu in menus)
    names = dict.fromkeys(menu.device_name for menu in menus if menu.device_name)
    return Announcement(
        methods=_merged_methods(one for menu in menus for one in menu.methods),
        models=_merged_models(menus),
        fact_sets=_first((one for menu in menus for one in menu.fact_sets), lambda one: one.name),
        formats=_first((one for menu in menus for one in menu.formats), lambda one: one.name),
        recipes=_first((one for menu in menus for one in menu.recipes), lambda one: one.name),
        file_formats=_first(
            (one for menu in menus for one in menu.file_formats), lambda one: one.title
        ),
        device=", ".join(devices),
        device_name=", ".join(names),
        memory_bytes=max(menu.memory_bytes for menu in menus),
        versions=menus[0].versions,
    )


def _first(found: Iterable[T], key: Callable[[T], Hashable]) -> tuple[T, ...]:
    kept: dict[Hashable, T] = {}
    for one in found:
        kept.setdefault(key(one), one)
    return tuple(kept.values())


def _merged_methods(methods: Iterable[MethodInfo]) -> tuple[MethodInfo, ...]:
    """Every method once, with every option that any worker's has."""
    kept: dict[tuple[str, str], MethodInfo] = {}
    for method in methods:
        known = kept.get((method.kind, method.name))
        kept[method.kind, method.name] = _with_options(known, method) if known else method
    return tuple(kept.values())


def _with_options(method: MethodInfo, other: MethodInfo) -> MethodInfo:
    if method.options == other.options:
        return method
    options = {**other.options, **method.options}
    for part in ("properties", "$defs"):
        if part in options:
            options[part] = {**other.options.get(part, {}), **method.options.get(part, {})}
    return method.model_copy(update={"options": options})


def _merged_models(menus: Sequence[Announcement]) -> tuple[ModelInfo, ...]:
    kept: dict[str, tuple[tuple[bool, bool, bool], ModelInfo]] = {}
    for menu in menus:
        for info in menu.models:
            has_room = info.memory_bytes.get("load", 0) <= (menu.memory_bytes or float("inf"))
            worth = (not info.problem, has_room, info.loaded)
            if info.id not in kept or worth > kept[info.id][0]:
                kept[info.id] = (worth, info)
    return tuple(info for _, info in kept.values())
