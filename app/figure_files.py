"""A figure's three files: JSON for plotly, CSV of every drawn value, and a table (`html`)."""

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app import csv_text
from app.drawing.drawing import Drawing
from app.failures import detail, status
from app.templating import render
from worker.contract.base import unknown
from worker.contract.errors import NotFound, UserError

ENDINGS = ("json", "csv", "html")


def answer(
    request: Request, ending: str, filename: str, draw: Callable[[], Drawing | None]
) -> Response:
    """Answer with what `draw` gives, as `ending` asks; 204 where there is nothing yet.

    The page's script reads why there is no figure from the JSON; the others are asked by readers,
    for whom UserError becomes a page.
    """
    if ending not in ENDINGS:
        raise NotFound(unknown("file of a figure", ending, list(ENDINGS)).message)
    try:
        drawing = draw()
    except UserError as error:
        if ending != "json":
            raise
        return JSONResponse({"detail": detail(error)}, status(error))
    if drawing is None:
        return Response(status_code=204)
    if ending == "json":
        return JSONResponse(drawing.figure(), headers={"Cache-Control": "private, no-cache"})
    if ending == "csv":
        return csv_text.respond(drawing.rows(), f"{filename}.csv")
    return render(request, "fragments/figure_table.html", table=drawing.table)
