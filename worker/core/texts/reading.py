"""Read a text by its name: the bundled saga, or one that was stored."""

from collections.abc import Mapping
from pathlib import Path

from worker.contract.base import unknown
from worker.contract.errors import UserError
from worker.contract.texts import BUNDLED
from worker.core.demo.paths import SAGA


def read_text(name: str, stored: Mapping[str, str]) -> str:
    """Read a text; `stored` gives the local paths of stored texts by name.

    Raises UserError for an unknown name, an empty file, and one that is no UTF-8 text.
    """
    known = {BUNDLED: str(SAGA), **stored}
    if name not in known:
        raise unknown("text", name, list(known), field="options.text")
    try:
        text = Path(known[name]).read_text(encoding="utf-8-sig").replace("\r\n", "\n").strip()
    except UnicodeDecodeError as error:
        raise UserError(
            f"The text {name!r} is not UTF-8 at byte {error.start}; expected plain text. Save it "
            f"as UTF-8 and store it again.",
            field="options.text",
        ) from None
    if not text:
        raise UserError(
            f"The text {name!r} is empty; expected a text to forget. Store another.",
            field="options.text",
        )
    return text
