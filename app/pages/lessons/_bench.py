"""Runs a lesson's experiments for one fact; what was asked before is at hand."""

from collections.abc import Iterable
from dataclasses import dataclass

from app.experiment import read_model
from app.exploring import Answers
from app.pages.lessons._about import About
from worker.contract.base import parse
from worker.contract.spec import ExploreSpec
from worker.engine.client import Engine
from worker.lessons.observing import Observed
from worker.lessons.reading import filled
from worker.lessons.schema import Lesson


@dataclass(frozen=True)
class Bench:
    """Where one reader's experiments are made. Equal ones of several readers are made once."""

    engine: Engine
    answers: Answers
    lesson: Lesson
    about: About

    def run(self, name: str) -> Observed:
        """An experiment's result; UserError as the worker says it, and NoWorker."""
        return Observed(self.answers.ask(self.engine, self._spec(name)))

    def is_known(self, names: Iterable[str]) -> bool:
        """Whether all these experiments are at hand, so that a page need not wait for them."""
        return all(self.answers.known(self._spec(name)) is not None for name in names)

    def _spec(self, name: str) -> ExploreSpec:
        experiment = self.lesson.experiments[name]
        model = read_model(self.about.model, self.engine.store)
        options = filled(experiment.options, self.about.values)
        return parse(ExploreSpec, {"model": model, "view": experiment.view, "options": options})
