"""An engine that answers explore views by hand, one token of the prompt per word."""

import asyncio
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tests.app.conftest import AskedEngine
from worker.contract.inputs import AskExplore, Question
from worker.contract.menu import MethodInfo
from worker.contract.progress import Event
from worker.contract.result import ArrayInfo, Axis, Provenance, Result

WORDS = (" golf", " tennis", " <b>sumo", " chess", " judo")
LAYERS = 3
VIEWS = (
    "predictions", "lens", "patching", "patch", "decomposition", "heads", "head", "neurons",
    "circuit",
)  # fmt: skip


class ExploredEngine(AskedEngine):
    """Counts what it is asked; `weights` is what every answer tells of its base."""

    weights = "w"

    def ask(self, question: Question, timeout: float = 10) -> dict[str, Any]:
        if not isinstance(question, AskExplore):
            return super().ask(question, timeout)
        super().ask(question, timeout)  # no worker, or a refusal
        self.asked.append(question)
        return answer(question, self.weights).model_dump(mode="json")

    async def answer(self, question: Question, timeout: float = 10) -> Any:
        """Tell two rows of a map, then the answer."""
        waiting = "waiting: one question comes before this one"
        yield Event(type="progress", fraction=0.0, message=waiting)
        found = await asyncio.to_thread(self.ask, question, timeout)
        if isinstance(question, AskExplore) and question.spec.view == "circuit":
            yield Event(type="progress", fraction=0.25, message="scoring edges")
            shares = {"n_edges": 1, "of": 28, "faithfulness": 0.5, "completeness": 0.25}
            yield Event(type="partial", name="circuit.pruned", data=shares)
            yield found
            return
        if isinstance(question, AskExplore) and question.spec.view == "lens":
            for part in lens_parts(found):
                yield Event(type="partial", name="lens", data=part)
            yield found
            return
        for place in range(2):
            row = {"position": place, "values": [0.5] * LAYERS, "metric": "logit_diff"}
            yield Event(type="partial", name="patch.resid", data=row)
        yield found

    @property
    def asked(self) -> list[AskExplore]:
        """Every explore view that was asked, of whichever session."""
        found: list[AskExplore] = self.store.__dict__.setdefault("asked", [])
        return found


@pytest.fixture
def empty_engine(settings: Any) -> Any:
    engine = ExploredEngine.open(settings)
    yield engine
    engine.close()


@pytest.fixture
def explored(engine: Any) -> ExploredEngine:
    """The engine, whose worker has the views."""
    found = engine.store.announcement()
    more = tuple(
        MethodInfo(kind="explore", name=name, title=name, summary="", options={}) for name in VIEWS
    )
    changed = found.model_copy(update={"methods": found.methods + more})
    engine.store.announce("test-host:cpu", "g", changed)
    assert isinstance(engine, ExploredEngine)
    return engine


def answer(question: AskExplore, weights: str) -> Result:
    """A view's answer in the form in which the core gives it."""
    options = question.spec.options
    prompts = [prompt("clean", options["prompt"], options.get("subject", ""))]
    if options.get("corrupted"):
        prompts.append(prompt("corrupted", options["corrupted"], ""))
    shift = len(question.spec.edits)
    view = {
        "prompts": prompts,
        "target": {"text": WORDS[0], "ids": [0], "tokens": [WORDS[0]], "proposed": True},
        "distractor": None,
        "problems": ["The subject was not found."] if options.get("subject") == "nobody" else [],
    }
    made = MADE[question.spec.view]
    arrays, more = made(prompts, options, shift)
    provenance = Provenance(
        model=question.spec.base, weights_hash=weights, seed=0, device="cpu", dtype="float32",
        versions={},
    )  # fmt: skip
    return Result(
        kind="explore", spec=question.spec.model_dump(mode="json"), provenance=provenance,
        seconds=0.1, peak_memory_bytes=1, arrays=arrays, view=view | more,
    )  # fmt: skip


def answer_of_an_edit() -> Result:
    """A finished edit, of which only that it is there matters."""
    provenance = Provenance(
        model="demo", weights_hash="w", seed=0, device="cpu", dtype="float32", versions={}
    )
    return Result(kind="unlearn", spec={}, provenance=provenance, seconds=1.0, peak_memory_bytes=1)


def prompt(name: str, text: str, subject: str) -> dict[str, Any]:
    words = text.split(" ")
    marked = subject.split(" ") if subject else []
    tokens = [
        {"text": word if i == 0 else f" {word}", "id": 100 + i, "subject": word in marked}
        for i, word in enumerate(words)
    ]
    return {"name": name, "text": text, "tokens": tokens, "subject": [0, 1]}


def predictions(prompts: Any, options: dict[str, Any], shift: int) -> tuple[dict[str, Any], Any]:
    top = []
    for number, one in enumerate(prompts):
        order = WORDS[number:] + WORDS[:number]
        for rank, word in enumerate(order):
            row = {"prompt": one["name"], "token": word, "id": WORDS.index(word), "rank": rank}
            share = 0.5 ** (rank + 1) / (1 + shift)
            top.append(row | {"probability": share, "logit": 9.0 - rank})
    said = [{"prompt": one["name"], "text": " golf and on", "tokens": []} for one in prompts]
    view: dict[str, Any] = {"top": top, "answers": [], "continuation": said}
    if options.get("interventions"):
        view["distractor"] = {"text": WORDS[1], "ids": [1], "tokens": [WORDS[1]], "proposed": True}
    return {}, view


def lens(prompts: Any, options: dict[str, Any], shift: int) -> tuple[dict[str, Any], Any]:
    which = options.get("which", "clean")
    n = len(next(one for one in prompts if one["name"] == which)["tokens"])
    first, end = options.get("positions") or (max(0, n - 64), n)
    end = min(end, n)
    kinds = {"both": ("attn", "mlp")}.get(after := options.get("after", "both"), (after,))
    rows = ("embed", *(f"{i}.{kind}" for i in range(LAYERS) for kind in kinds))
    shape = len(rows), end - first
    values = [
        [(i + j) / (sum(shape) * (1 + shift)) for j in range(shape[1])] for i in range(shape[0])
    ]
    tokens = tuple(str(i) for i in range(first, end))
    axes = (Axis(name="row", labels=rows), Axis(name="token", labels=tokens))
    arrays = {
        f"lens.{name}": ArrayInfo(file="", axes=axes, unit="", title=name, values=values)
        for name in ("probability", "target", "rank", "entropy", "divergence")
    }
    places = (*axes, Axis(name="place", labels=None))
    shares = [[[0.5, 0.25, 0.1, 0.05, 0.01] for _ in row] for row in values]
    arrays["lens.top"] = ArrayInfo(file="", axes=places, unit="", values=shares)
    ids = [[[(i + j + shift) % 5, *range(4)] for j in range(shape[1])] for i in range(shape[0])]
    names = {str(i): word for i, word in enumerate(WORDS)}
    return arrays, {"top": ids, "vocabulary": names, "which": which, "positions": [first, end]}


def lens_parts(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The last two tokens of a lens, then those before, as the core tells them."""
    arrays, view = found["arrays"], found["view"]
    first, end = view["positions"]
    names = {
        name: f"lens.{name}" for name in ("probability", "target", "rank", "entropy", "divergence")
    } | {"likeliest": "lens.top"}
    return [
        {name: [row[part] for row in arrays[key]["values"]] for name, key in names.items()}
        | {"positions": [first + (part.start or 0), first + (part.stop or end - first)]}
        | {"rows": arrays["lens.probability"]["axes"][0]["labels"]}
        | {"top": [row[part] for row in view["top"]], "vocabulary": view["vocabulary"]}
        for part in (slice(end - first - 2, end - first), slice(0, end - first - 2))
    ]


def patching(prompts: Any, options: dict[str, Any], shift: int) -> tuple[dict[str, Any], Any]:
    (site,) = options["sites"]
    n = 2 if site == "head" else len(prompts[0]["tokens"])
    last = "head" if site == "head" else "token"
    axes = tuple(
        Axis(name=name, labels=tuple(map(str, range(size))))
        for name, size in (("layer", LAYERS), (last, n))
    )
    arrays = {}
    for metric in ("probability", "logit", "logit_diff"):
        values = [[(i - j) / (1 + shift) for j in range(n)] for i in range(LAYERS)]
        info = ArrayInfo(file="", axes=axes, unit=metric, signed=True, values=values)
        arrays |= {f"patch.{site}.{metric}": info}
        if options["direction"] == "denoising":
            arrays |= {f"patch.{site}.{metric}.share": info}
    told = {m: {"clean": 2.0, "corrupted": -1.0} for m in ("probability", "logit", "logit_diff")}
    return arrays, {"metrics": told, "direction": options["direction"], "positions": [0, n]}


def patch(prompts: Any, options: dict[str, Any], shift: int) -> tuple[dict[str, Any], Any]:
    def said(words: str) -> dict[str, Any]:
        row = {"token": words, "id": 0, "probability": 0.5, "logit": 1.0, "rank": 0}
        return {"top": [row], "answers": [], "continuation": {"text": f"{words} it is"}}

    effect = {"clean": 2.0, "corrupted": -1.0, "unpatched": -1.0, "patched": 1.5}
    effect |= {"joint": 2.5, "sum": 3.25, "single": [1.0] * len(options["cells"])}
    view = {"unpatched": said(" tennis"), "patched": said(" golf"), "cells": options["cells"]}
    return {}, view | {"effects": {"logit_diff": effect}}


def circuit(prompts: Any, options: dict[str, Any], shift: int) -> tuple[dict[str, Any], Any]:
    """Edges of a chain through all MLPs, large; all others smaller than what they stand for."""
    nodes = ["input", *(f"{i}.{kind}" for i in range(LAYERS) for kind in ("attn", "mlp"))]
    readers = [*nodes[1:], "logits"]
    chain = ["input", *(f"{i}.mlp" for i in range(LAYERS)), "logits"]
    scores = np.zeros((len(nodes), len(readers)))
    for i, sender in enumerate(nodes):
        for j, reader in list(enumerate(readers))[i:]:
            scores[i, j] = (-1) ** (i + j) / (2 + i + 10 * j)
            if (sender, reader) in pairwise(chain):
                scores[i, j] = 1.0 + i - shift
    order = sorted(zip(*np.nonzero(scores), strict=True), key=lambda at: -abs(scores[at]))
    edges = [
        {"from": nodes[i], "to": readers[j], "score": float(scores[i, j]), "spread": 0.125}
        for i, j in order
    ]
    n = len(edges)
    sizes = options.get("sizes") or [1, len(chain) - 1, n]
    pruned = [
        {"n_edges": size, "faithfulness": min(1.0, size / (len(chain) - 1)), "completeness": 0.5}
        | {"faithfulness_spread": 0.25, "completeness_spread": 0.0}
        for size in sizes
    ]
    axes = (Axis(name="sender", labels=tuple(nodes)), Axis(name="reader", labels=tuple(readers)))
    info = ArrayInfo(file="", axes=axes, unit="logit", signed=True, values=scores.tolist())
    layers = [{"name": one, "kind": one.split(".")[-1]} for one in (*nodes, "logits")]
    edge = options.get("edge")
    told = {"from": edge[0], "to": edge[1], "estimate": 0.5, "exact": 0.75} if edge else None
    view = {"nodes": layers, "edges": edges[: options["top"]], "pruned": pruned, "edge": told}
    return {"circuit.edges": info}, view | {"metric": "logit"}


def heads(prompts: Any, options: dict[str, Any], shift: int) -> tuple[dict[str, Any], Any]:
    """Four heads a layer; head 1 of the last layer adds most."""
    axes = tuple(
        Axis(name=name, labels=tuple(map(str, range(size))))
        for name, size in (("layer", LAYERS), ("head", 4))
    )
    values = [[layer - abs(head - 1) / 2 for head in range(4)] for layer in range(LAYERS)]
    names = ("direct", "attention")
    return {
        f"heads.{name}": ArrayInfo(file="", axes=axes, unit="", values=values) for name in names
    }, {"which": "clean"}


MADE = {
    "heads": heads, "predictions": predictions, "lens": lens, "patching": patching, "patch": patch,
    "circuit": circuit,
}  # fmt: skip
