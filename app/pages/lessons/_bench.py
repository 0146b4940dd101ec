"""Runs a lesson's experiments for one fact; what was asked before is at hand."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

from app.arrays import as_json, load
from app.experiment import read_model
from app.exploring import Answers
from app.pages.lessons._about import About
from app.submission import submit
from worker.contract.base import parse
from worker.contract.errors import Conflict, Forbidden
from worker.contract.records import RunRecord
from worker.contract.result import Result
from worker.contract.spec import ExploreSpec, parse_spec
from worker.contract.visitors import at_home
from worker.engine.client import Engine
from worker.lessons.checking import TAKEN, texts_of
from worker.lessons.observing import Observed
from worker.lessons.reading import filled
from worker.lessons.schema import Edit, Lesson, Run
from worker.store.store import Store

What = Literal["edits", "runs"]

LOST = ("failed", "cancelled")
MOST_TRIES = 20
"""Runs of one edit that may be lost before it is said that it cannot be made."""


class NotMade(Conflict):
    """An experiment asks a model whose edit was not made yet."""


class NotForVisitors(NotMade, Forbidden):
    """An experiment asks a model whose edit is made for nobody who has no account."""


@dataclass(frozen=True)
class Bench:
    """Where one reader's experiments are made. Equal ones of several readers are made once."""

    engine: Engine
    answers: Answers
    lesson: Lesson
    about: About
    _read: dict[str, Observed] = field(default_factory=dict)
    """What runs found, by their ids: one page asks for the same several times."""

    def run(self, name: str) -> Observed:
        """An experiment's result; UserError as the worker says it, NotMade and NoWorker."""
        of = self.lesson.experiments[name].run
        return (
            self._measured(of) if of else Observed(self.answers.ask(self.engine, self.spec(name)))
        )

    def run_of(self, name: str) -> RunRecord | None:
        """The run whose result an experiment is; None for a view, and before it was started."""
        of = self.lesson.experiments[name].run
        return self.made(self._item(of)) if of else None

    def is_known(self, names: Iterable[str]) -> bool:
        """Whether all these experiments are at hand, so that a page need not wait for them."""
        try:
            return all(map(self._is_known, names))
        except NotMade:
            return False

    def _is_known(self, name: str) -> bool:
        if self.lesson.experiments[name].run:
            run = self.run_of(name)
            return run is not None and run.state == "done"
        options = self.lesson.experiments[name].options
        taken = [found[1] for text in texts_of(options) if (found := TAKEN.fullmatch(text))]
        return all(map(self._is_known, taken)) and self.answers.known(self.spec(name)) is not None

    def items(self, what: What) -> list[Edit | Run]:
        """What the lesson makes, or measures, by one button."""
        return list((self.lesson.edits if what == "edits" else self.lesson.runs).values())

    def made(self, item: Edit | Run) -> RunRecord | None:
        """The run that makes or measures an item, whoever asked for it; None before anybody did.

        One that failed or was cancelled is none: another try may be made. So is a measurement whose
        edit is not made.
        """
        try:
            return self._newest(item)[1]
        except NotMade:
            return None

    def make(self, what: What) -> None:
        """Queue every item that nobody has made or is making; NotMade where an edit is missing."""
        for item in self.items(what):
            key, run = self._newest(item)
            if run is None:
                title = f"{self.lesson.front.title} {item.title}"
                submit(self.engine, self._spec_of(item), title=title, key=key)

    def _measured(self, name: str) -> Observed:
        """What a run of the lesson found, with its arrays' numbers; NotMade before it is done."""
        item = self._item(name)
        run = self.made(item)
        if run is None or run.state != "done":
            raise self._not_made(item, run)
        if run.id not in self._read:
            self._read[run.id] = Observed(_whole(self.engine.store, run.id))
        return self._read[run.id]

    def _item(self, name: str) -> Edit | Run:
        return self.lesson.edits[name] if name in self.lesson.edits else self.lesson.runs[name]

    def _newest(self, item: Edit | Run) -> tuple[str, RunRecord | None]:
        """The key of the next try and None, or that of the run that stands."""
        data = self._spec_of(item)
        if self.engine.store.acting.visit is not None:
            return "", None  # visitors start none, and what others started is not theirs to see
        spec = parse_spec(data)
        digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
        for attempt in range(MOST_TRIES):
            key = f"lesson {digest} {attempt}"
            found = self.engine.store.submitted("", key, spec)
            if found is None:
                return key, None
            run = self.engine.store.run(found)
            if run.state not in LOST:
                return key, run
        raise Conflict(f"{item.title!r} was lost {MOST_TRIES} times; its runs' pages say why.")

    def _spec_of(self, item: Edit | Run) -> dict[str, Any]:
        model = read_model(self.about.model, self.engine.store)
        if isinstance(item, Edit):
            return {"kind": "unlearn", "model": model, **item.spec}
        edited = self._edited(model, self.lesson.edits[item.edit]) if item.edit else model
        return {"model": edited, **item.spec}

    def spec(self, name: str) -> ExploreSpec:
        """What an experiment asks; NotMade where an edit that it asks was not made yet."""
        experiment = self.lesson.experiments[name]
        model = read_model(self.about.model, self.engine.store)
        if experiment.edit:
            model = self._edited(model, self.lesson.edits[experiment.edit])
        options = filled(
            experiment.options, self.about.values, lambda name, text: self.run(name).value(text)
        )
        spec = parse(ExploreSpec, {"model": model, "view": experiment.view, "options": options})
        self.engine.store.refuse_outside_class(spec)
        return spec

    def _edited(self, model: Any, edit: Edit) -> dict[str, Any]:
        run = self.made(edit)
        if run is None or run.state != "done":
            raise self._not_made(edit, run)
        below = model if isinstance(model, dict) else {"base": model, "edits": []}
        return {"base": below["base"], "edits": [*below["edits"], run.id]}

    @property
    def at_home(self) -> str:
        """To a visitor, how what this lesson makes is made at home; empty for others."""
        if self.engine.store.acting.visit is None:
            return ""
        return (
            f"This step needs a run, and this server computes none for visitors. "
            f"{at_home(f'take the lesson at /lessons/{self.lesson.name}')}"
        )

    def _not_made(self, item: Edit | Run, run: RunRecord | None) -> NotMade:
        if self.at_home:
            return NotForVisitors(self.at_home)
        return _not_made(item, run)


def _not_made(item: Edit | Run, run: RunRecord | None) -> NotMade:
    what = "edit" if isinstance(item, Edit) else "measurement"
    how = "is not made yet" if run is None else f"is being made ({run.state})"
    return NotMade(
        f"The {what} {item.title!r} {how}. An earlier step of this lesson has the button."
    )


def _whole(store: Store, run_id: str) -> Result:
    """A finished run's result with the numbers of its arrays in it."""
    result = store.result(run_id)
    assert result is not None, "a run that is done has a result"
    arrays = {
        name: info.model_copy(
            update={"values": as_json(name, load(store, run_id, name, info), info)["values"]}
        )
        for name, info in result.arrays.items()
    }
    return result.model_copy(update={"arrays": arrays})
