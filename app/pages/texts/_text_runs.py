"""From the page about forgetting a text to runs: the first stages, a preview, the training."""

import json
from collections.abc import Callable
from typing import Any

from starlette.datastructures import FormData

from app.experiment import Typed, collect, read_model, read_seed
from app.forms import Problems, read_options
from app.mask_choice import read_mask_choice
from app.pages.texts._dictionary import as_dictionary, proposed, typed_entries
from app.pages.texts._text_stages import METHOD, VIEW, method_info, training_schema
from app.projects import within
from app.submission import key_of_form, submit
from worker.contract.errors import NotFound, UserError
from worker.contract.menu import Announcement
from worker.contract.records import RunRecord
from worker.contract.result import Result
from worker.contract.texts import BUNDLED
from worker.engine.client import Engine
from worker.store.store import Store

MakeSpec = Callable[
    [RunRecord, Typed, FormData, str, Announcement], tuple[dict[str, Any], Problems]
]
"""From a run of the first stages, the form and the typed dictionary to a spec."""
NO_VIEW = "No worker can rewrite texts; start one with `lethe worker` and try again."


def begin_stages(form: Typed, engine: Engine, menu: Announcement) -> str:
    """Queue the first two stages; the run's id."""
    info = method_info(menu, "explore", VIEW)
    if info is None or form.given is None:
        raise UserError(NO_VIEW, field="view")
    options, problems = read_options(info.options, form.given)
    model = collect(problems, read_model, form.get("model", "demo"), engine.store)
    seed = collect(problems, read_seed, form)
    if problems:
        raise UserError(problems=problems)
    spec = {"kind": "explore", "view": VIEW, "model": model, "options": options, "seed": seed}
    title = f"Rewriting {options.get('text', BUNDLED)}"[:200]
    into = within(engine, form.values)
    return submit(into, spec, title=title, key=key_of_form(form, spec))


def submit_further(
    run_id: str, form: Typed, given: FormData, engine: Engine, menu: Announcement, make: MakeSpec
) -> str:
    """Queue what follows a finished run of the first stages; the new run's id."""
    run, result = engine.store.run(run_id), stages_result(engine.store, run_id)
    words = as_dictionary(typed_entries(given, proposed(result)))
    dictionary = json.dumps(words, ensure_ascii=False)
    spec, problems = make(run, form, given, dictionary, menu)
    if problems:
        raise UserError(problems=problems)
    into = within(engine, form.values)
    return submit(into, spec, title=form.get("title"), key=key_of_form(form, spec))


def try_spec(
    run: RunRecord, form: Typed, given: FormData, dictionary: str, menu: Announcement
) -> tuple[dict[str, Any], Problems]:
    """The first two stages again, with the typed dictionary."""
    return {**run.spec, "options": {**run.spec["options"], "dictionary": dictionary}}, []


def forget_spec(
    run: RunRecord, form: Typed, given: FormData, dictionary: str, menu: Announcement
) -> tuple[dict[str, Any], Problems]:
    """The training: the run's own model, seed and options, and what the form adds."""
    training, problems = read_options(training_schema(menu), given)
    spec = {
        "kind": "unlearn",
        "model": run.spec["model"],
        "facts": {"set": form.get("facts.set"), "forget": form.get("facts.forget", "first:1")},
        "mask": collect(problems, read_mask_choice, form),
        "method": METHOD,
        "options": {**run.spec["options"], **training, "dictionary": dictionary},
        "seed": run.spec.get("seed", 0),
    }
    return spec, problems


def stages_result(store: Store, run_id: str) -> Result:
    """A finished run's result; NotFound for a run that rewrote no text."""
    result = store.result(run_id)
    if result is None or "tokens" not in result.view:
        raise NotFound(f"The run {run_id!r} has no rewritten text; it is no finished one of these.")
    return result
