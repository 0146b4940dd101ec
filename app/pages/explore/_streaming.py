"""Views as they are computed: each line is the view's fragment so far, as a JSON string, or why it
waits, as an object.
"""

import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import wraps
from typing import Any

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool

from app.pages.explore._circuit import PATIENCE, base_options, finding_pairs, score_one
from app.pages.explore._circuit_contexts import circuit_choices
from app.pages.explore._contexts import lens_context, lens_options, map_choices, window_of
from app.pages.explore._lacking import WAITING
from app.pages.explore._lens import partial_lens
from app.pages.explore._patching import Chosen, chosen_map, need_pair, partial_panels
from app.pages.explore._predictions import SHOWN
from app.pages.explore._subject import Asker, Subject, ask
from app.templating import render_fragment
from worker.contract.errors import UserError
from worker.contract.progress import Event
from worker.contract.result import Result

CIRCUIT = "fragments/explore/circuit.html"
LENS = "fragments/explore/lens.html"
MAP = "fragments/explore/patching.html"


Lines = Callable[[Asker, Subject, Mapping[str, str]], AsyncGenerator[str, None]]


def _quiet(lines: Lines) -> Lines:
    """Lines that end where there is no answer: the view itself, made after them, says why."""

    @wraps(lines)
    async def told(
        asker: Asker, subject: Subject, asked: Mapping[str, str]
    ) -> AsyncGenerator[str, None]:
        with suppress(UserError):
            async for line in lines(asker, subject, asked):
                yield line

    return told


async def _map_rows(
    asker: Asker, subject: Subject, asked: Mapping[str, str]
) -> AsyncGenerator[str, None]:
    """The map, of more and more rows."""
    need_pair(subject)
    chosen = chosen_map(asked)
    options = subject.options() | chosen.options() | window_of(asked)
    spec = await run_in_threadpool(asker.spec, subject.model, "patching", options)
    yield _fragment(chosen, None)
    predicted = await run_in_threadpool(_predicted, asker, subject)
    told: list[Any] = []
    async with aclosing(asker.answers.follow(asker.engine, spec, asker.reader)) as events:
        async for event in events:
            if isinstance(event, Event) and event.type == "partial":
                told.append(event.data)
                yield _fragment(chosen, _panels(predicted, told, chosen))
            elif isinstance(event, Event) and not told:
                yield _fragment(chosen, None, event.message)


def _predicted(asker: Asker, subject: Subject) -> Result:
    alone = replace(subject, beside="")
    return ask(replace(asker, reader=""), alone, "predictions", k=SHOWN, n_new=0)[0]


def _panels(predicted: Result, told: list[Any], chosen: Chosen) -> Any:
    places = [int(row["position"]) for row in told if "position" in row]
    n = len(predicted.view["prompts"][0]["tokens"])
    first = 0 if n <= 64 else min(places, default=0)
    return partial_panels(predicted, told, chosen, first, n)


def _fragment(chosen: Chosen, grids: Any, message: str = "") -> str:
    known = map_choices(chosen) | {"grids": grids, "is_partial": True, "message": message}
    return _line(MAP, **known, pictures=[], problems=[])


async def _lens_rows(
    asker: Asker, subject: Subject, asked: Mapping[str, str]
) -> AsyncGenerator[str, None]:
    """The lens, of more and more tokens; nothing beside another model."""
    if subject.beside:
        return
    options = lens_options(asked)
    spec = await run_in_threadpool(asker.spec, subject.model, "lens", subject.options() | options)
    predicted = await run_in_threadpool(_predicted, asker, subject)
    told: list[Any] = []
    async with aclosing(asker.answers.follow(asker.engine, spec, asker.reader)) as events:
        async for event in events:
            if isinstance(event, Event) and event.type == "partial":
                told.append(event.data)
                known = lens_context(
                    [partial_lens(predicted, told, options["which"])], subject, asked
                )
                yield _line(LENS, **known, is_partial=True, asked=asked, pictures=[])
            elif isinstance(event, Event) and event.message.startswith(WAITING):
                yield waiting_line(event.message)


async def _circuit_rows(
    asker: Asker, subject: Subject, asked: Mapping[str, str]
) -> AsyncGenerator[str, None]:
    """How far a circuit is, and which pruned ones are run."""
    known = circuit_choices(asker, asked)
    pairs = None
    async for pairs in iterate_in_threadpool(finding_pairs(asker, subject, asked)):
        if known["over"]:
            found = f"{1 + len(pairs.further)} facts have a second prompt"
            yield _circuit_fragment(known, None, found, [])
    assert pairs is not None
    options = pairs.subject.options() | base_options(pairs)
    spec = await run_in_threadpool(asker.spec, pairs.subject.model, "circuit", options)
    n = 1 + len(pairs.further)
    for place in range(n if n > 1 else 0):
        yield _circuit_fragment(known, place / n, f"scoring edges of fact {place + 1} of {n}", [])
        await run_in_threadpool(score_one, asker, pairs, place)
    told: list[Any] = []
    fraction, message = None, "waiting for the worker"
    yield _circuit_fragment(known, fraction, message, told)
    following = asker.answers.follow(asker.engine, spec, asker.reader, PATIENCE)
    async with aclosing(following) as events:
        async for event in events:
            if isinstance(event, Event) and event.type in ("partial", "progress"):
                if event.type == "partial":
                    told.append(event.data)
                else:
                    fraction, message = event.fraction, event.message
                yield _circuit_fragment(known, fraction, message, told)


def _circuit_fragment(
    known: Mapping[str, Any], fraction: float | None, message: str, told: list[Any]
) -> str:
    return _line(CIRCUIT, **known, fraction=fraction, message=message, told=told)


def _line(template: str, **context: Any) -> str:
    return line(render_fragment(template, **context))


def line(fragment: str) -> str:
    """A view as far as it is known."""
    return json.dumps(fragment) + "\n"


def waiting_line(message: str) -> str:
    """Why the view is not computed yet; it stays as it is."""
    return json.dumps({"waiting": message}) + "\n"


STREAMED: dict[str, Lines] = {
    "lens": _quiet(_lens_rows),
    "patching": _quiet(_map_rows),
    "circuit": _quiet(_circuit_rows),
}
"""The views that are shown as far as they are computed."""
