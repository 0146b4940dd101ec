"""The patching map as it is computed: each line is the view's fragment so far, as a JSON string."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import Any

from starlette.concurrency import run_in_threadpool

from app.pages.explore._contexts import map_choices, window_of
from app.pages.explore._patching import Chosen, chosen_map, need_pair, partial_panels
from app.pages.explore._predictions import SHOWN
from app.pages.explore._subject import Asker, Subject, ask
from app.templating import render_fragment
from worker.contract.errors import UserError
from worker.contract.progress import Event
from worker.contract.result import Result

TEMPLATE = "fragments/explore/patching.html"


async def rows(asker: Asker, subject: Subject, asked: Mapping[str, str]) -> AsyncIterator[str]:
    """Fragments of the map, of more and more rows; nothing where it is known already.

    The view itself, which is asked after, then finds the whole answer among those that are kept,
    or says why there is none.
    """
    with suppress(UserError):
        async for line in _rows(asker, subject, asked):
            yield line


async def _rows(asker: Asker, subject: Subject, asked: Mapping[str, str]) -> AsyncIterator[str]:
    need_pair(subject)
    chosen = chosen_map(asked)
    options = subject.options() | chosen.options() | window_of(asked)
    spec = await run_in_threadpool(asker.spec, subject.model, "patching", options)
    if asker.answers.known(spec) is not None:
        return
    yield _fragment(chosen, None)
    predicted = await run_in_threadpool(_predicted, asker, subject)
    told: list[Any] = []
    async with aclosing(asker.answers.follow(asker.engine, spec, asker.reader)) as events:
        async for event in events:
            if isinstance(event, Event) and event.type == "partial":
                told.append(event.data)
                yield _fragment(chosen, _panels(predicted, told, chosen))


def _predicted(asker: Asker, subject: Subject) -> Result:
    alone = replace(subject, beside="")
    return ask(replace(asker, reader=""), alone, "predictions", k=SHOWN, n_new=0)[0]


def _panels(predicted: Result, told: list[Any], chosen: Chosen) -> Any:
    places = [int(row["position"]) for row in told if "position" in row]
    n = len(predicted.view["prompts"][0]["tokens"])
    first = 0 if n <= 64 else min(places, default=0)
    return partial_panels(predicted, told, chosen, first, n)


def _fragment(chosen: Chosen, grids: Any) -> str:
    known = map_choices(chosen) | {"grids": grids, "is_partial": True}
    text = render_fragment(TEMPLATE, **known, pictures=[], problems=[])
    return json.dumps(text) + "\n"
