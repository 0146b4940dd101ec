"""Facts from JSON or JSON Lines: CounterFact's records, or objects with a fact's fields."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from worker.contract.errors import UserError
from worker.contract.menu import ReadFacts
from worker.core.facts._rows import MAX_ROWS, read_rows
from worker.core.facts.csv_table import decode, with_encoding

TITLE = "JSON"
ENDINGS = (".json", ".jsonl", ".ndjson")


def read(data: bytes, mapping: Mapping[str, str]) -> ReadFacts:
    """Read a list of objects, `{"facts": […]}`, or one object a line."""
    decoded = decode(data)
    records = list(_records(decoded.text))
    if len(records) > MAX_ROWS:
        raise UserError(
            f"The file has {len(records):,} records; expected at most {MAX_ROWS:,}. Split it into "
            f"smaller files.",
            field="file",
        )
    counterfact = any("requested_rewrite" in r for r in records if isinstance(r, dict))
    rows = [_row(r, counterfact) for r in records]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    title = "CounterFact JSON" if counterfact else TITLE
    return with_encoding(read_rows(enumerate(rows, 1), columns, mapping, title), decoded)


def _records(text: str) -> Iterator[Any]:
    try:
        value = json.loads(text)
    except RecursionError:
        raise UserError("The JSON is nested too deeply; expected a list.", field="file") from None
    except ValueError as error:
        lines = [line for line in text.splitlines() if line.strip()]
        if not lines[0].lstrip().startswith("{") or len(lines) == 1:
            raise UserError(f"This is no JSON: {error}.", field="file") from None
        yield from _lines(lines)
        return
    if isinstance(value, dict) and isinstance(value.get("facts"), list):
        value = value["facts"]
    if not isinstance(value, list):
        value = [value]
    yield from value


def _lines(lines: list[str]) -> Iterator[Any]:
    for number, line in enumerate(lines, 1):
        try:
            yield json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"Line {number} is no JSON: {error}. Expected one object a line.", field="file"
            ) from None


def _row(record: Any, counterfact: bool) -> dict[str, Any]:
    """Flatten CounterFact's `requested_rewrite`, whose prompt is a template with `{}`."""
    if not isinstance(record, dict):
        return {"record": record}
    if not counterfact:
        return record
    rewrite = record.get("requested_rewrite")
    flat = dict(rewrite) if isinstance(rewrite, dict) else {}
    rest = {k: v for k, v in record.items() if k != "requested_rewrite"}
    return {**flat, **rest}
