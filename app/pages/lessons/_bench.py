"""Runs a lesson's experiments for one fact; what was asked before is at hand."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.experiment import read_model
from app.exploring import Answers
from app.pages.lessons._about import About
from app.submission import submit
from worker.contract.base import parse
from worker.contract.errors import Conflict
from worker.contract.records import RunRecord
from worker.contract.spec import ExploreSpec, parse_spec
from worker.engine.client import Engine
from worker.lessons.checking import TAKEN, texts_of
from worker.lessons.observing import Observed
from worker.lessons.reading import filled
from worker.lessons.schema import Edit, Lesson

LOST = ("failed", "cancelled")
MOST_TRIES = 20
"""Runs of one edit that may be lost before it is said that it cannot be made."""


class NotMade(Conflict):
    """An experiment asks a model whose edit was not made yet."""


@dataclass(frozen=True)
class Bench:
    """Where one reader's experiments are made. Equal ones of several readers are made once."""

    engine: Engine
    answers: Answers
    lesson: Lesson
    about: About

    def run(self, name: str) -> Observed:
        """An experiment's result; UserError as the worker says it, NotMade and NoWorker."""
        return Observed(self.answers.ask(self.engine, self.spec(name)))

    def is_known(self, names: Iterable[str]) -> bool:
        """Whether all these experiments are at hand, so that a page need not wait for them."""
        try:
            return all(map(self._is_known, names))
        except NotMade:
            return False

    def _is_known(self, name: str) -> bool:
        options = self.lesson.experiments[name].options
        taken = [found[1] for text in texts_of(options) if (found := TAKEN.fullmatch(text))]
        return all(map(self._is_known, taken)) and self.answers.known(self.spec(name)) is not None

    def made(self, edit: Edit) -> RunRecord | None:
        """The run that makes an edit, whoever asked for it; None before anybody did.

        One that failed or was cancelled is none: another try may be made.
        """
        return self._newest(edit)[1]

    def make(self) -> None:
        """Queue every edit of the lesson that nobody has made or is making."""
        for edit in self.lesson.edits.values():
            key, run = self._newest(edit)
            if run is None:
                title = f"{self.lesson.front.title} {edit.title}"
                submit(self.engine, self._edit_spec(edit), title=title, key=key)

    def _newest(self, edit: Edit) -> tuple[str, RunRecord | None]:
        """The key of the next try and None, or that of the run that stands."""
        data = self._edit_spec(edit)
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
        raise Conflict(
            f"The edit {edit.title!r} was lost {MOST_TRIES} times; its runs' pages say why."
        )

    def _edit_spec(self, edit: Edit) -> dict[str, Any]:
        model = read_model(self.about.model, self.engine.store)
        return {"kind": "unlearn", "model": model, **edit.spec}

    def spec(self, name: str) -> ExploreSpec:
        """What an experiment asks; NotMade where an edit that it asks was not made yet."""
        experiment = self.lesson.experiments[name]
        model = read_model(self.about.model, self.engine.store)
        if experiment.edit:
            model = self._edited(model, self.lesson.edits[experiment.edit])
        options = filled(
            experiment.options, self.about.values, lambda name, text: self.run(name).value(text)
        )
        return parse(ExploreSpec, {"model": model, "view": experiment.view, "options": options})

    def _edited(self, model: Any, edit: Edit) -> dict[str, Any]:
        run = self.made(edit)
        if run is None or run.state != "done":
            how = "is not made yet" if run is None else f"is being made ({run.state})"
            raise NotMade(
                f"The edit {edit.title!r} {how}. An earlier step of this lesson has the button."
            )
        below = model if isinstance(model, dict) else {"base": model, "edits": []}
        return {"base": below["base"], "edits": [*below["edits"], run.id]}
