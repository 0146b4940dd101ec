"""One screen of a lesson: what a template shows of a step, for one reader and one fact."""

from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from markupsafe import Markup

from app.intervening import Switch, write
from app.lessons import progress
from app.pages.lessons._about import About
from app.pages.lessons._bench import Bench, What
from app.pages.lessons._judging import Judged, judge
from app.pages.lessons._keeping import Keeping
from app.pages.lessons._picture import drawn
from app.pages.lessons._writing import Writer, caption_of, parts, plain
from worker.contract.base import parse
from worker.contract.errors import UserError
from worker.contract.interventions import Intervention
from worker.contract.progress import FINAL_STATES
from worker.lessons.checking import PUT_IN
from worker.lessons.schema import Figure, Lesson, Part, Question, Step
from worker.store.lessons import Answered

BUTTONS: dict[str, What] = {"make": "edits", "measure": "runs"}
"""Kinds of parts that have a button, and what it starts."""
ASK_AFTER = 2
"""Wrong answers after which a reader is offered to be shown the right one."""


@dataclass(frozen=True)
class Screen:
    """A step as one reader sees it. `is_whole` computes all that it shows before it is sent."""

    bench: Bench
    at: int
    keeping: Keeping
    answers: tuple[Answered, ...]
    is_whole: bool = False

    @property
    def lesson(self) -> Lesson:
        return self.bench.lesson

    @property
    def about(self) -> About:
        return self.bench.about

    @property
    def step(self) -> Step:
        return self.lesson.steps[self.at - 1]

    @property
    def address(self) -> str:
        return f"/lessons/{self.lesson.name}/{self.at}"

    @property
    def answered(self) -> Answered | None:
        """What the reader answered here, about this fact."""
        told = self.about.words
        found = (one for one in self.answers if one.step == self.at and one.about == told)
        return next(found, None)

    @property
    def is_done(self) -> bool:
        """Whether what stands below the question is seen."""
        return self.step.question is None or progress.is_done(self.step, self.answered)

    @property
    def waits_for_own(self) -> bool:
        """Whether the reader has still to choose another fact."""
        return self.step.needs_own and not self.about.is_own

    @property
    def offers_answer(self) -> bool:
        """Whether there were wrong answers enough to be shown the right one."""
        return not self.is_done and self.answered is not None and (
            self.answered.attempts >= ASK_AFTER
        )  # fmt: skip

    @cached_property
    def judged(self) -> Judged | None:
        """The reader's last answer, judged by the experiment as it is at hand."""
        question, found = self.step.question, self.answered
        if question is None or found is None or not found.attempts:
            return None
        return self._judge(question, found.given)

    def take(self, given: str, is_shown: bool) -> None:
        """Judge and keep an answer; UserError as the worker or the judge says it."""
        question = self.step.question
        if question is None:
            raise UserError("This step asks nothing, so nothing was kept.", field="answer")
        right = False if is_shown else self._judge(question, given.strip()).right
        answer = None if is_shown else given.strip()
        self.keeping.keep(self.lesson.name, self.at, self.about, answer, right, is_shown)

    def context(self) -> dict[str, Any]:
        """What the page shows above its question, and below it where that is at hand."""
        above = self.step.above
        if self.waits_for_own:
            places = [i for i, part in enumerate(above) if part.kind == "own"]
            above = above[: places[0] + 1]
        writer = self._writer()
        shown = [self._placed(one) for one in parts(writer, above)]
        question = None if self.waits_for_own else self.step.question
        has_rest = not self.waits_for_own and (self.answered is not None and bool(
            self.answered.attempts or self.answered.shown)) and question is not None  # fmt: skip
        names = self._needs(self.step.below, self.step.question)
        is_at_hand = has_rest and (self.is_whole or self.bench.is_known(names))
        return {
            "parts": shown,
            "question": question,
            "asks": writer.line(question.ask) if question else "",
            "choices": [writer.line(one.words) for one in question.choices] if question else [],
            "given": self.answered.given if self.answered else "",
            "has_rest": has_rest,
            "rest": self._rest() if is_at_hand else None,
            "steps": list(zip(self.lesson.steps, progress.done(self.lesson, self.answers),
                              strict=True)),
        }  # fmt: skip

    def rest(self) -> dict[str, Any]:
        """What is said to the answer, and what is below the question once that is done."""
        writer = self._writer()
        parts(writer, self.step.above)  # what is explained above is not explained again
        judged, question = self.judged, self.step.question
        below = [self._placed(one, at_hand=True) for one in parts(writer, self.step.below)] if (
            self.is_done) else []  # fmt: skip
        says = Markup("")
        if judged and judged.says:
            says = writer.write(judged.says)
        elif judged and question and question.hint and not judged.right and not self.is_done:
            says = writer.write(question.hint)
        return {"judged": judged, "says": says, "below": below}

    def _rest(self) -> dict[str, Any] | None:
        """The rest; None where it cannot be computed, which says why when it is asked for alone."""
        try:
            return self.rest()
        except UserError:
            return None

    def picture(self, figure: Figure, caption: Markup | None = None) -> dict[str, Any]:
        """What a figure's template shows; without a caption, of one that is asked for alone."""
        seen = self.bench.run(figure.of)
        question = self.step.question
        picks = question is not None and question.figure == figure.name
        judged = self.judged if picks else None
        return {
            "figure": figure,
            "caption": caption_of(self.step, figure) if caption is None else caption,
            **drawn(figure, seen),
            "picks": picks and not self.is_done,
            "given": self.answered.given if picks and self.answered else "",
            "right": judged.cells if judged and self.is_done else frozenset(),
            "problems": list(seen.result.view.get("problems", ())),
            "explore": self._explore(figure),
            "csv": f"{self.address}/figures/{figure.name}.csv{self.about.query()}",
        }

    def making(self, what: What) -> dict[str, Any]:
        """The lesson's edits, or its runs, and how far each is."""
        rows = [(item, self.bench.made(item)) for item in self.bench.items(what)]
        runs = [run for _, run in rows if run is not None]
        return {
            "rows": rows,
            "is_open": any(run.state not in FINAL_STATES for run in runs),
            "is_wanted": len(runs) < len(rows),
            "what": what,
            "at_home": self.bench.at_home,
            "address": f"{self.address}/make{self.about.query(what=what)}",
            "again": f"{self.address}/made{self.about.query(what=what)}",
        }

    @staticmethod
    def notes(lesson: Lesson) -> list[tuple[int, Markup, Step, list[Markup]]]:
        """Every step with what it asks and its notes."""
        return [
            (
                number,
                plain(step.question.ask) if step.question else Markup(""),
                step,
                [plain(part.text) for part in step.parts if part.kind == "notes"],
            )
            for number, step in enumerate(lesson.steps, 1)
        ]

    def _judge(self, question: Question, given: str) -> Judged:
        figure = self.step.figures.get(question.figure)
        return judge(question, figure, self.bench.run(question.of), given)

    def _placed(self, part: dict[str, Any], at_hand: bool = False) -> dict[str, Any]:
        """A part with its figure, where the experiment is at hand; else the page asks for it."""
        figure = part["figure"]
        if part["kind"] in BUTTONS:
            return part | {"making": self.making(BUTTONS[part["kind"]])}
        if figure is None:
            return part
        if at_hand or self.is_whole or self.bench.is_known([figure.of]):
            with suppress(UserError):  # the figure is asked for alone then, and says why not
                return part | {"picture": self.picture(figure, part["caption"])}
        return part | {
            "picture": None,
            "address": f"{self.address}/figures/{figure.name}{self.about.query()}",
            "now": f"{self.address}{self.about.query(now='1')}",
        }

    def _needs(self, found: tuple[Part, ...], question: Question | None) -> set[str]:
        """The experiments that parts show or speak of."""
        names = {part.figure.of for part in found if part.figure is not None}
        texts = [part.text for part in found]
        if question is not None:
            names.add(question.of)
            texts += [question.hint, *(choice.says for choice in question.choices)]
        put_in = (one for text in texts for one in PUT_IN.findall(text) if ":" in one)
        return names | {one.partition(":")[0].strip() for one in put_in}

    def _writer(self) -> Writer:
        return Writer(self.bench)

    def _explore(self, figure: Figure) -> str:
        """Where the same is open to be explored: the experiment's own prompts and model."""
        if run := self.bench.run_of(figure.of):
            return f"/runs/{run.id}"
        spec = self.bench.spec(figure.of)
        model = f"edit:{spec.edits[-1]}" if spec.edits else spec.base
        given = {name: spec.options.get(name) for name in ("prompt", "corrupted", "subject")}
        on = [parse(Intervention, one) for one in spec.options.get("interventions", ())]
        given["on"] = write(tuple(map(Switch, on)))
        named = {"model": model} | {name: value for name, value in given.items() if value}
        return f"/explore?{urlencode(named)}#{spec.view}"
