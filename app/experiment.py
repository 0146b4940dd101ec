"""What the forms of experiments share: model, facts and options between form and spec.

Field names are dotted paths into the spec where the spec has such a field (`facts.set`,
`options.n_noises`). The forget selection is typed in two parts, `facts.how` and the part that
belongs to it, and a model is named by its id or, edited, by `edit:RUN`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request

from app.forms import FormField, Problems, form_fields, read_options
from app.known_form import AMONG, SHOTS, read_choice, typed_choice
from worker.contract.errors import NotFound, UserError
from worker.contract.menu import Announcement, FactSetInfo, MethodInfo, MethodKind
from worker.contract.records import RunRecord
from worker.store.store import Store

HOW = {
    "first": "the first N of the set",
    "random": "N at random (by the seed)",
    "group": "one group",
    "ids": "these ids",
    "split": "a named split",
}
PARTS = {
    "first": "facts.n",
    "random": "facts.n",
    "group": "facts.group",
    "ids": "facts.ids",
    "split": "facts.split",
}
DTYPES = (
    ("auto", "as stored; on a CPU float32"),
    ("float32", "float32"),
    ("bfloat16", "bfloat16"),
    ("float16", "float16"),
)
"""The values of `dtype`, as the forms name them."""
FEW_OPTIONS = 4
"""Options that a form shows at once; the others wait behind "More options"."""
USUAL = {"localization": "causal_tracing", "unlearning": "localized_finetuning"}
"""The methods that an untouched form has chosen."""
FIRST = ("options.objective",)
"""Options that come before all others, because they change what a run is for."""


@dataclass
class Typed:
    """A form as it was typed, with what is to be said beside its fields."""

    values: dict[str, str]
    posted: FormData | None = None
    """The options as typed; None where they are not on the form yet."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options that an earlier run had, for "change and run"."""
    evaluations: tuple[str, ...] = ()
    """Evaluations that an earlier run had."""
    given: FormData | None = None
    """Everything as it was sent."""
    problems: Problems = field(default_factory=list)

    def get(self, name: str, default: str = "") -> str:
        """One field as typed."""
        return self.values.get(name, default)

    def error(self, *names: str) -> str:
        """What is wrong with a field, or with what it stands for."""
        return next((s for f, s in self.problems if f in names), "")

    def elsewhere(self, shown: list[str]) -> list[str]:
        """Sentences that belong to no field that is shown."""
        return [
            s for f, s in self.problems if not any(f == n or f.startswith(f"{n}.") for n in shown)
        ]


async def typed(request: Request) -> Typed:
    """Read the form that was posted, or the one that the address describes."""
    given = await request.form() if request.method == "POST" else _asked(request)
    values = {k: v for k, v in given.multi_items() if isinstance(v, str)}
    is_shown = values.get("options.of", "") == values.get("method", "")
    posted = given if is_shown and "options.of" in values else None
    return Typed(values, posted=posted, given=given)


def _asked(request: Request) -> FormData:
    return FormData([(k, v) for k, v in request.query_params.multi_items()])


def from_run(record: RunRecord, kind: str) -> Typed:
    """The form that would start a run again, or one of another kind on the same facts."""
    spec = record.spec
    values = {"seed": str(spec.get("seed", 0)), "model": model_value(spec["model"])}
    if record.visibility == "project":
        values["project"] = record.project
    if facts := spec.get("facts"):
        values["facts.set"] = facts["set"]
        rule, _, rest = str(facts["forget"]).partition(":")
        how = rule if rule in HOW and rest else "split"
        values |= {"facts.how": how, PARTS[how]: rest if how != "split" else facts["forget"]}
        values["facts.edit_to"] = str(facts.get("edit_to", ""))
        values |= typed_choice(facts)
    if record.kind != kind:
        return Typed(values)
    values |= {k: str(spec[k]) for k in ("load_in", "dtype") if spec.get(k)}
    values |= {"method": spec["method"]} if "method" in spec else {}
    values |= mask_values(spec.get("mask") or {})
    return Typed(
        values, options=spec.get("options", {}), evaluations=tuple(spec.get("evaluations", ()))
    )


def mask_values(mask: Mapping[str, Any]) -> dict[str, str]:
    """A spec's mask as the form names its parts."""
    given = {k: v for k, v in mask.items() if v is not None}
    source = next((k for k in ("id", "localization", "components", "control") if k in given), "")
    values = {"mask.from": source} if source else {}
    if source in ("id", "localization"):
        values[f"mask.{source}"] = str(given[source])
    if source == "components":
        values["mask.components"] = ", ".join(given["components"])
    for part in ("rule", "control"):
        values |= {f"mask.{part}.{k}": str(v) for k, v in (given.get(part) or {}).items() if v}
    for kind in ("top", "threshold", "parameters"):
        if f"mask.rule.{kind}" in values:
            values |= {"mask.rule.kind": kind, "mask.rule.value": values[f"mask.rule.{kind}"]}
    if "mask.rule.suggested" in values:
        values["mask.rule.kind"] = "suggested"
    return values


def model_value(model: Any) -> str:
    """A spec's model as the form names it."""
    if isinstance(model, str):
        return model
    return f"edit:{model['edits'][-1]}" if model.get("edits") else str(model["base"])


def read_model(value: str, store: Store) -> Any:
    """The form's model as a spec names it; an edited one with every edit below it."""
    if not value.startswith("edit:"):
        return value
    run_id = value.removeprefix("edit:")
    try:
        record = store.run(run_id)
    except NotFound:
        raise UserError(
            f"There is no run {run_id!r} whose edit could be used; choose a model.", field="model"
        ) from None
    below = record.spec.get("model", "")
    base, edits = (below, []) if isinstance(below, str) else (below["base"], below["edits"])
    return {"base": base, "edits": [*edits, run_id]}


def read_facts(form: Typed) -> dict[str, Any]:
    """The form's facts as a spec names them; UserError beside the part that is missing."""
    how = form.get("facts.how", "first")
    if how not in HOW:
        raise UserError(
            f"{how!r} is no way to choose facts; expected {', '.join(HOW)}.", field="facts.how"
        )
    part = form.get(PARTS[how], "16" if how in ("first", "random") else "").strip()
    if not part:
        raise UserError(
            f"Nothing says which facts; expected {_EXPECTED[how]}.", field="facts.forget"
        )
    return {
        "set": form.get("facts.set"),
        "forget": part if how == "split" else f"{how}:{part}",
        "edit_to": form.get("facts.edit_to").strip(),
        **read_choice(form.get),
    }


_EXPECTED = {
    "first": "a number of facts",
    "random": "a number of facts",
    "group": "a group's name",
    "ids": "ids with commas between them",
    "split": "a split's name",
}


def read_seed(form: Typed) -> int:
    """The seed; UserError for what is no whole number."""
    text = form.get("seed", "0").strip() or "0"
    if not text.isdecimal() or int(text) >= 2**31:
        raise UserError(
            f"seed is {text[:40]!r}; expected a whole number from 0 to 2147483647.", field="seed"
        )
    return int(text)


def read_dtype(form: Typed) -> dict[str, str]:
    """The part of a spec that says in which numbers it is computed; nothing where that is usual."""
    dtype = form.get("dtype")
    return {"dtype": dtype} if dtype not in ("", "auto") else {}


def collect(problems: Problems, read: Any, *args: Any) -> Any:
    """Read one part of a form, or add what is wrong with it to `problems` and give None."""
    try:
        return read(*args)
    except UserError as error:
        problems.extend(error.problems)
        return None


def read_method(
    form: Typed, announcement: Announcement, kind: MethodKind
) -> tuple[MethodInfo, dict[str, Any], Problems]:
    """The chosen method and its options."""
    method = chosen_method(form, announcement, kind)
    if form.posted is None:
        return method, dict(form.options), []
    options, problems = read_options(method.options, form.posted)
    return method, options, problems


def chosen_method(form: Typed, announcement: Announcement, kind: MethodKind) -> MethodInfo:
    """The method that the form names, by default the usual one."""
    methods = [m for m in announcement.methods if m.kind == kind]
    if not methods:
        raise UserError(_no_method(kind, announcement.of_class), field="method")
    by_name = {m.name: m for m in methods}
    return by_name.get(form.get("method")) or by_name.get(USUAL.get(kind, "")) or methods[0]


def _no_method(kind: MethodKind, of_class: str) -> str:
    if of_class:
        return (
            f"The class {of_class!r} allows its guests no {kind} method. Ask your teacher, who can "
            f"change what the class allows."
        )
    return f"No worker has a {kind} method; start one with `lethe worker`."


def option_fields(form: Typed, method: MethodInfo) -> tuple[list[FormField], list[FormField]]:
    """A method's options: the few that are shown at once, and the others."""
    fields = form_fields(
        method.options, posted=form.posted, values=form.options, problems=form.problems
    )
    fields.sort(key=lambda field: field.name not in FIRST)
    return fields[:FEW_OPTIONS], fields[FEW_OPTIONS:]


def model_choices(store: Store, announcement: Announcement) -> list[tuple[str, str]]:
    """Base models, then edited ones, newest first."""
    bases = [
        (m.id, (m.title or m.id) + (" (cannot be loaded)" if m.problem else ""))
        for m in announcement.models
    ]
    edits = [
        (f"edit:{run.id}", f"{run.title} (edit {run.id[:6]})")
        for run in store.runs(kind="unlearn", state="done", limit=100)
    ]
    return bases + edits


def set_of(form: Typed, sets: list[FactSetInfo]) -> FactSetInfo | None:
    """The chosen fact set, by default the first."""
    return next((s for s in sets if s.name == form.get("facts.set")), sets[0] if sets else None)


def subject(form: Typed, store: Store, announcement: Announcement) -> dict[str, Any]:
    """What the part of a form about model and facts shows."""
    sets = store.fact_sets()
    chosen = set_of(form, sets)
    how = form.get("facts.how", "first")
    return {
        "form": form,
        "models": model_choices(store, announcement),
        "fact_sets": [(s.name, f"{s.title or s.name} ({s.n_facts})") for s in sets],
        "fact_set": chosen,
        "groups": [(group, group) for group in chosen.groups] if chosen else [],
        "splits": [(split, split) for split in chosen.splits] if chosen else [],
        "dtypes": DTYPES,
        "how": how if how in HOW else "first",
        "shots": list(SHOTS.items()),
        "knows": [("", "all that are chosen"), *AMONG.items()],
        "hows": [
            (k, words)
            for k, words in HOW.items()
            if k not in ("group", "split") or (chosen and getattr(chosen, f"{k}s"))
        ],
    }


def flat(form: Typed) -> list[tuple[str, str]]:
    """The form's fields for an address that opens the same form."""
    left_out = ("csrf", "submission", "options.of")
    return [(k, v) for k, v in form.values.items() if k not in left_out and v != ""]


def as_json(data: Any) -> str:
    """Pretty JSON for a reader who wants to send the same by the API."""
    return json.dumps(data, indent=2, ensure_ascii=False)
