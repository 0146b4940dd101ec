"""Texts on their way into the store, for page and API."""

from app.submission import refuse_odd_text
from worker.contract.errors import UserError
from worker.contract.texts import ENDINGS, read_text
from worker.store.store import Store


def keep(store: Store, name: str, filename: str, data: bytes, owner: str = "") -> str:
    """Store a text under a name, by default its file's; the name it got."""
    refuse_odd_text([name, filename[:200]])
    if not data:
        raise UserError(
            f"Nothing was brought; expected a file of text ({', '.join(ENDINGS)}) or pasted text.",
            field="file",
        )
    stem = filename.replace("\\", "/").rpartition("/")[2].rpartition(".")[0]
    name = name or "".join(c for c in stem if c.isprintable())[:100]
    try:
        text = read_text(data, filename).text
    except UserError as error:
        raise UserError(error.message, field="file" if filename else "pasted") from None
    return store.save_text(name, text, owner=owner).name
