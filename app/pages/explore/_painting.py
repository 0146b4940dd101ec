"""A view painted: as far as it is computed, whole, or in words why it cannot be."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from app.failures import status
from app.pages.explore import _views
from app.pages.explore._lacking import Whole, kept, making
from app.pages.explore._streaming import STREAMED, line, waiting_line
from app.pages.explore._subject import Asker, Subject
from app.templating import render
from worker.contract.errors import UserError
from worker.engine.client import Superseded


@dataclass(frozen=True)
class Painter:
    """One view of one subject, as a part of the page."""

    request: Request
    view: _views.View
    subject: Subject
    titles: list[str]
    """Of each model."""

    @property
    def asked(self) -> Mapping[str, str]:
        """What the address holds."""
        return dict(self.request.query_params)

    def paint(self, known: Mapping[str, Any]) -> Response:
        """The view's template with what is known."""
        name, asked = self.view.name, self.asked
        pictures = _views.pictures(name, self.subject, asked)
        return render(
            self.request,
            f"fragments/explore/{name}.html",
            subject=self.subject,
            titles=self.titles,
            asked=self.request.query_params,
            files=_views.files(self.subject, asked),
            pictures=list(zip(self.titles, pictures, strict=False)),
            **known,
        )

    async def lines(self, asker: Asker) -> AsyncGenerator[str, None]:
        """The view again and again, with more of it; one line where all is kept."""
        view, asked = self.view, self.asked
        steps = [
            lambda by, step=step: step(by, self.subject, asked)
            for step in (view.sooner, view.make)
            if step is not None
        ]
        found = await run_in_threadpool(kept, asker, steps[-1])
        if found is not None:
            yield await self._line(found)
            return
        if view.name in STREAMED:
            async with aclosing(STREAMED[view.name](asker, self.subject, asked)) as lines:
                async for part in lines:
                    yield part
        for step in steps:
            async with aclosing(making(asker, step)) as told:
                async for one in told:
                    if isinstance(one, Whole):
                        yield await self._line(one)
                    else:
                        yield waiting_line(one)

    async def _line(self, found: Whole) -> str:
        painted = await run_in_threadpool(self.paint, found.made)
        return line(bytes(painted.body).decode())


def paint_trouble(request: Request, view: str, error: UserError) -> Response:
    """What keeps a view from being shown, and the way back."""
    return render(
        request,
        "fragments/explore/trouble.html",
        status_code=status(error),
        problems=[sentence for _, sentence in error.problems],
        clears=_views.way_back(view, dict(request.query_params)),
    )


async def in_words(
    request: Request, view: str, lines: AsyncIterator[str]
) -> AsyncGenerator[str, None]:
    """Lines that end with why there are no more; quietly where the reader asked something newer."""
    try:
        async for one in lines:
            yield one
    except Superseded:
        return
    except UserError as error:
        painted = await run_in_threadpool(paint_trouble, request, view, error)
        yield line(bytes(painted.body).decode())
