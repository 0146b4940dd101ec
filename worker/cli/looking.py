"""`lethe explore SPEC.json`: one view of a prompt, in this process, without a server."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from worker.cli.specs import read_spec
from worker.contract.errors import UserError
from worker.contract.result import Result, Table
from worker.contract.settings import settings

MOST_CELL = 24
"""Characters of a printed table's cell."""


def explore(
    spec: Annotated[Path, typer.Argument(help="A spec of kind explore as JSON, as the API takes.")],
    edits: Annotated[
        list[Path] | None,
        typer.Option(help="Folders of earlier `lethe run`s whose edits lie on the model."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The whole answer as JSON, with its arrays.")
    ] = False,
) -> None:
    """Look at a prompt through one view; `lethe menu` lists the views, `lethe run` keeps files."""
    from worker.cli.local import prepare
    from worker.contract.inputs import AskExplore
    from worker.contract.spec import ExploreSpec
    from worker.run import answer, open_models

    data = read_spec(spec)
    if isinstance(data, dict):
        data = {"kind": "explore", **data}
    parsed, inputs = prepare(data, Path(), edits or [])
    if not isinstance(parsed, ExploreSpec):
        raise UserError(
            f"The spec is of the kind {parsed.kind!r}; expected explore. `lethe run` takes all.",
            field="kind",
        )
    asked = AskExplore(spec=parsed, inputs=inputs.model_copy(update={"out": ""}))
    result = answer(asked, open_models(settings()))
    assert isinstance(result, Result), "a view is answered by a result"
    if as_json:
        typer.echo(result.model_dump_json(indent=1))
        return
    for line in said(result):
        typer.echo(line)


def said(result: Result) -> Iterator[str]:
    """Say a view's caption, what is worth knowing, its tables, and its arrays' names."""
    yield result.caption
    yield from result.view.get("problems", ())
    for table in result.tables.values():
        yield ""
        yield from _lines(table)
    if result.arrays:
        yield ""
    for name, info in result.arrays.items():
        yield f"{name} ({' × '.join(axis.name for axis in info.axes)}): {info.title}"


def _lines(table: Table) -> Iterator[str]:
    rows = [list(table.columns), *([_cell(value) for value in row] for row in table.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.columns))]
    yield table.title
    for row in rows:
        yield _aligned(row, widths)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return "  ".join(cells).rstrip()


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    # As JSON writes it: a token's space or line break is seen, and breaks no line.
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
    return text if len(text) <= MOST_CELL else text[: MOST_CELL - 1] + "…"
