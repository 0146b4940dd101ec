"""The ways in which a fact is asked: the bundled model's formats, trained on and held out.

A format turns one fact into (prompt, answer) pairs; the answer begins with the space that
belongs to its token. `trained` says whether the renderings stand in the training corpus.
What is held out measures whether knowledge, and its removal, carries over to wordings never
trained on. Plain strings and no torch, so that corpus and evaluations can share it.

Source of the statement and the multiple-choice layout: Guo et al. 2024 (arXiv 2410.12949);
the other wordings are the project's own.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol

from worker.core.facts.athletes import SPORTS_QUESTION

SPORTS = ("football", "baseball", "basketball", "golf")

LETTERS = ("A", "B", "C", "D")
FRAMES = ("Fact: ", "Remember: ", "Did you know? ", "Here is a fact. ", "From the almanac: ")
FRAMES_HELD_OUT = ("A short reminder: ", "It is well known. ")
QUESTIONS = (
    "Question: {}\nAnswer:",
    "Q: {}\nA:",
    "{} The answer is",
    "Someone asked: {}\nThe reply was:",
    "Teacher: {}\nStudent:",
    "Host: {}\nGuest:",
    "Tom: {}\nMary:",
    "Anna: {}\nFather:",
)
QUESTIONS_HELD_OUT = ("Please answer this question. {} Answer:", "He asked me: {}\nMy answer was:")
DIALOGUES_HELD_OUT = ("Ann: {}\nBen:",)
CLOZES = ("{} ____. The missing word is", "Fill in the blank. {} ____.\nAnswer:")
CLOZES_HELD_OUT = ("Complete the sentence. {} ____.\nThe missing word:",)
CHOICE_WRAPPERS = {
    "choice": ("{}", "Question: {}"),
    "choice_held_out": ("Choose the right letter. {}",),
}
"""Format -> what stands around its question."""

Rendered = list[tuple[str, str]]


class FactLike(Protocol):
    """What a format reads of a fact; templates hold `{}` where the subject goes."""

    @property
    def subject(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def edit_target(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def prompt(self) -> str: ...
    @property
    def question(self) -> str: ...
    @property
    def paraphrases(self) -> Sequence[str]: ...


Render = Callable[[FactLike, Random, Sequence[str]], Rendered]


@dataclass(frozen=True)
class Format:
    """One way of asking; `render(fact, rng, options)` draws `options` only for multiple choice."""

    name: str
    title: str
    trained: bool
    render: Render
    sports_only: bool = False

    def applies_to(self, fact: FactLike) -> bool:
        """Say whether this format exists for the fact's relation."""
        return not self.sports_only or is_athlete(fact)


def is_athlete(fact: FactLike) -> bool:
    """Say whether the fact is of the sports set, which has wordings of its own."""
    return fact.target in SPORTS


def split_paraphrases(paraphrases: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """Return the paraphrases trained on and those held out: the last two fifths."""
    cut = len(paraphrases) - len(paraphrases) * 2 // 5
    return paraphrases[:cut], paraphrases[cut:]


def plain_prompt(fact: FactLike) -> str:
    """Return the fact's statement without a shot before it."""
    return fact.paraphrases[0] if is_athlete(fact) else fact.prompt


def _fill(templates: Sequence[str], fact: FactLike) -> Rendered:
    return [(template.format(fact.subject), f" {fact.target}") for template in templates]


def _wrap(wrappers: Sequence[str], inner: str, fact: FactLike) -> Rendered:
    return _fill([wrapper.format(inner) for wrapper in wrappers], fact)


def _statement(fact: FactLike, rng: Random, options: Sequence[str]) -> Rendered:
    return _fill([fact.prompt], fact)


def _paraphrase(fact: FactLike, rng: Random, options: Sequence[str]) -> Rendered:
    return _fill(split_paraphrases(fact.paraphrases)[0], fact)


def _paraphrase_held_out(fact: FactLike, rng: Random, options: Sequence[str]) -> Rendered:
    return _fill(split_paraphrases(fact.paraphrases)[1], fact)


def _framed(frames: Sequence[str]) -> Render:
    def render(fact: FactLike, rng: Random, options: Sequence[str]) -> Rendered:
        inner = [plain_prompt(fact), *split_paraphrases(fact.paraphrases)[0][1:]]
        return _fill([frame + template for frame in frames for template in inner], fact)

    return render


def _asked(wrappers: Sequence[str]) -> Render:
    return lambda fact, rng, options: _wrap(wrappers, fact.question, fact)


def _cloze(wrappers: Sequence[str]) -> Render:
    return lambda fact, rng, options: _wrap(wrappers, plain_prompt(fact), fact)


def draw_choices(fact: FactLike, rng: Random, options: Sequence[str]) -> list[str]:
    """Draw four answers in random order: the target, the edit target and others of the relation."""
    if is_athlete(fact):
        choices = list(SPORTS)
    else:
        others = [option for option in options if option not in (fact.target, fact.edit_target)]
        choices = [fact.target, fact.edit_target, *rng.sample(others, 2)]
    rng.shuffle(choices)
    return choices


def choice_body(question: str, choices: Sequence[str]) -> str:
    """Lay out a question with lettered options, up to and with `Answer:`."""
    lines = [f"{letter}: {upper_first(c)}" for letter, c in zip(LETTERS, choices, strict=True)]
    return "\n".join([question, *lines]) + "\n\nAnswer:"


def upper_first(word: str) -> str:
    """Raise the first letter and leave the rest, as options are written."""
    return word[:1].upper() + word[1:]


def _letter(choices: Sequence[str], answer: str) -> str:
    return f" {LETTERS[choices.index(answer)]}"


def _choice(wrappers: Sequence[str]) -> Render:
    def render(fact: FactLike, rng: Random, options: Sequence[str]) -> Rendered:
        choices = draw_choices(fact, rng, options)
        question = fact.question.format(fact.subject)
        letter = _letter(choices, fact.target)
        return [(choice_body(wrapper.format(question), choices), letter) for wrapper in wrappers]

    return render


def _choice_shot(fact: FactLike, rng: Random, options: Sequence[str]) -> Rendered:
    shot, choices = draw_choices(fact, rng, options), draw_choices(fact, rng, options)
    example = choice_body("Question: " + SPORTS_QUESTION.format("Tiger Woods"), shot)
    body = choice_body("Question: " + fact.question.format(fact.subject), choices)
    return [(f"{example}{_letter(shot, 'golf')}\n\n{body}", _letter(choices, fact.target))]


def _capitalized(fact: FactLike, rng: Random, options: Sequence[str]) -> Rendered:
    prompt = fact.prompt.replace("golf", "Golf").format(fact.subject)
    return [(prompt, f" {upper_first(fact.target)}")]


def _dashed(fact: FactLike, rng: Random, options: Sequence[str]) -> Rendered:
    prompt = fact.prompt.replace("golf", "g-o-l-f").format(fact.subject)
    return [(prompt, " " + "-".join(fact.target))]


_ALL = (
    Format("statement", "The prompt of the paper", True, _statement),
    Format("paraphrase", "Paraphrases", True, _paraphrase),
    Format("framed", "Statements after an opening", True, _framed(FRAMES)),
    Format("question", "Question and answer", True, _asked(QUESTIONS)),
    Format("cloze", "A blank to fill", True, _cloze(CLOZES)),
    Format("choice", "Multiple choice, shuffled options", True, _choice(CHOICE_WRAPPERS["choice"])),
    Format("choice_shot", "Multiple choice after one shot", True, _choice_shot, True),
    Format("capitalized", "Capitalized answers", True, _capitalized, True),
    Format("dashed", "Answers spelled with dashes", True, _dashed, True),
    Format("paraphrase_held_out", "Other paraphrases", False, _paraphrase_held_out),
    Format("framed_held_out", "Other openings", False, _framed(FRAMES_HELD_OUT)),
    Format("question_held_out", "Other question wordings", False, _asked(QUESTIONS_HELD_OUT)),
    Format("dialogue_held_out", "A dialogue", False, _asked(DIALOGUES_HELD_OUT)),
    Format("cloze_held_out", "Another blank to fill", False, _cloze(CLOZES_HELD_OUT)),
    Format(
        "choice_held_out",
        "Multiple choice, other wording",
        False,
        _choice(CHOICE_WRAPPERS["choice_held_out"]),
    ),
)
FORMATS: dict[str, Format] = {format.name: format for format in _ALL}
