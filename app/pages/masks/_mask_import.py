"""Reads a mask from a JSON file: name, model, components."""

import json

from pydantic import Field

from worker.contract.base import Contract, parse
from worker.contract.choose import mask_of
from worker.contract.errors import UserError
from worker.contract.menu import Announcement
from worker.contract.records import MaskRecord
from worker.engine.resolve import model_info
from worker.store.store import Store

LIMIT = 1_000_000


class MaskFile(Contract):
    """A mask as a file holds it; the parameter count is counted anew."""

    name: str = Field(min_length=1, max_length=200)
    model: str
    components: tuple[str, ...]
    n_parameters: int | None = None
    source: str = Field("", max_length=2000)


def read_mask(data: bytes, store: Store, menu: Announcement) -> MaskRecord:
    """Save the file's mask; UserError for a file that is none."""
    if not data:
        raise UserError("No file was chosen; expected a mask's JSON file.", field="file")
    if len(data) > LIMIT:
        raise UserError("The file has more than 1 MB; expected a mask's JSON file.", field="file")
    try:
        body = json.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(
            f"The file is no JSON in UTF-8 ({error}); expected a mask as this page gives it.",
            field="file",
        ) from None
    found = parse(MaskFile, body)
    parameters = model_info(found.model, menu).component_parameters
    mask = mask_of(list(found.components), parameters, found.source or "imported")
    return store.save_mask(found.name, found.model, mask)
