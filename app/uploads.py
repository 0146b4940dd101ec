"""Files on their way to a fact set: kept as artifacts, read by a worker, stored when confirmed."""

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import UploadFile

from app.pending import Upload, discard, keep_bytes
from app.submission import refuse_odd_text
from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.given_name import given_name
from worker.contract.inputs import AskReadFacts
from worker.contract.menu import FactSetInfo, FileFormat, ReadFacts
from worker.contract.subjects import OCCURRENCE
from worker.contract.texts import MAX_BYTES
from worker.engine.client import Engine
from worker.store.store import Store

LIMIT = 50_000_000
"""Bytes of a file."""
BODY_LIMIT = LIMIT + 100_000
"""Bytes of a request with a file in it."""
PASTE_LIMIT = 2_000_000
"""Characters of pasted text."""
PASTE_BODY_LIMIT = 4 * PASTE_LIMIT
"""Bytes of a request with pasted text in it, in which a letter may take nine."""
TEXT_BODY_LIMIT = MAX_BYTES + 100_000
"""Bytes of a request with a text to forget in it."""
FIELDS = (
    *(
        (name, name.replace("_", " ").capitalize(), field.description or "")
        for name, field in sorted(Fact.model_fields.items(), key=lambda item: item[0] == "id")
    ),
    ("occurrence", "Occurrence", OCCURRENCE),
)
"""What a column may give of a fact: name, label, what it holds."""


def file_formats(store: Store) -> tuple[FileFormat, ...]:
    """The forms in which a worker reads facts; none where no worker has said so yet."""
    said = store.announcement()
    return said.file_formats if said else ()


def _expected(store: Store) -> str:
    titles = [one.title for one in file_formats(store) if one.endings]
    return f"a file of facts ({', '.join(titles)})" if titles else "a file of facts"


async def receive(store: Store, file: Any) -> Upload:
    """Keep an uploaded file; raise UserError for none, an empty one or one that is too large."""
    if not isinstance(file, UploadFile) or not file.filename:
        raise UserError(f"No file was chosen; expected {_expected(store)}.", field="file")
    if file.size is not None and file.size > LIMIT:
        raise UserError(
            f"{file.filename!r} has {file.size / 1e6:.0f} MB; expected at most "
            f"{LIMIT / 1e6:.0f} MB. Split it, or take out columns that are not needed.",
            field="file",
        )
    data = await file.read()
    if not data:
        raise UserError(f"{file.filename!r} is empty; expected {_expected(store)}.", field="file")
    return keep_bytes(store, data, _plain(file.filename))


def receive_text(store: Store, text: str, field: str) -> Upload:
    """Keep pasted CSV, TSV or JSON as a file; raise UserError for none, and for too much."""
    if not text.strip():
        raise UserError(f"{field} is empty; expected a header row and facts, or JSON.", field=field)
    if len(text) > PASTE_LIMIT:
        raise UserError(
            f"{field} has {len(text):,} characters; expected at most {PASTE_LIMIT:,}. Bring it as "
            f"a file instead.",
            field=field,
        )
    refuse_odd_pasted(text, field)
    ending = "json" if text.lstrip()[0] in "[{" else "csv"
    return keep_bytes(store, text.encode(), f"pasted.{ending}")


def refuse_odd_pasted(text: str, field: str) -> None:
    """Refuse halves of characters, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        bad = f"U+{ord(error.object[error.start]):04X}"
        raise UserError(
            f"{field} holds {bad}, half of a character; expected whole Unicode characters.",
            field=field,
        ) from None


def read(engine: Engine, upload: Upload, mapping: Mapping[str, str]) -> ReadFacts:
    """Let a worker read the file; raise UserError for what it cannot read, NoWorker without one.

    What was read last is kept beside the file, so that what is confirmed is not read again.
    """
    refuse_odd_text(dict(mapping))
    kept = _read_before(engine.store, upload, mapping)
    if kept is not None:
        return kept
    # By name: the worker may be on another host, where its own copy has another path.
    question = AskReadFacts(path=upload.file, filename=upload.filename, mapping=dict(mapping))
    answer = engine.ask(question, timeout=120)
    found = ReadFacts.model_validate(answer)
    # The mapping that was understood gives the same facts: it names what was found by itself.
    mappings = json.dumps([dict(mapping), found.mapping])
    engine.store.artifacts.put_bytes(
        upload.understood, f"{mappings}\n{json.dumps(answer)}".encode()
    )
    return found


def _read_before(store: Store, upload: Upload, mapping: Mapping[str, str]) -> ReadFacts | None:
    """What was read of an upload with this mapping, if that was the last."""
    if not store.artifacts.exists(upload.understood):
        return None
    with store.artifacts.open(upload.understood) as file:
        if dict(mapping) not in json.loads(file.readline()):
            return None
        return ReadFacts.model_validate(json.loads(file.read()))


def keep(
    engine: Engine,
    upload: Upload,
    mapping: Mapping[str, str],
    name: str,
    description: str = "",
    found: ReadFacts | None = None,
) -> FactSetInfo:
    """Store the upload's facts (`found`, if they are read already) as a set, whole or not at all.

    Raises UserError for a name that is none or taken.
    """
    refuse_odd_text({"name": name, "description": description})
    name = given_name(name, "fact set")
    if any(known.name == name for known in engine.store.fact_sets()):
        raise UserError(
            f"There is a fact set {name!r} already; choose another name, or delete that one first.",
            field="name",
        )
    found = found or read(engine, upload, mapping)
    fact_set = FactSet(name=name, title=name, description=description[:2000], facts=found.facts)
    info = engine.store.save_fact_set(fact_set)
    discard(engine.store, upload)
    return info


def _plain(filename: str) -> str:
    """The last part of a file's name, without what a page or a log could trip over."""
    last = re.split(r"[/\\]", filename)[-1]
    return "".join(c for c in last if c.isprintable() and not "\ud800" <= c <= "\udfff")[-120:]
