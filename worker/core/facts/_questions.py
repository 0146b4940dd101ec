"""A question as a fact's prompt: whom or what it names is the subject, its answer follows."""

import re
from typing import Any

QUESTION, ANSWER = "Question: ", "\nAnswer:"
WHOLE = "the question names nothing, so the whole of it is the subject"
_QUOTED = re.compile(r"[\"“«]([^\"”»]{2,100})[\"”»]|(?<!\w)['‘]([^'’]{2,100})['’](?!\w)")
_WORD = re.compile(r"\S+")
_WORDS = re.compile(r"\w+")
_LINKS = frozenset(
    _WORDS.findall(
        "of the de la le van von der den du del da di al el bin ibn y e and for on in to at"
    )
)
"""Words that stand inside a name, between two that are written with capitals."""
_OPENERS = frozenset(
    _WORDS.findall(
        "what who whom whose which when where why how in on at is are was were did does do can "
        "could has have had the a an name to from for by with of under if as during after before "
        "please complete according consider given let suppose i you he she it they we this that "
        "these those there tell explain describe list find choose select answer question yes no "
        "and but or"
    )
)
"""Words that are written with a capital where they open a sentence, and name nothing."""
_EDGES = "\"'“”‘’«»()[]{},;:!?…"


def asked(question: str, subject: str = "") -> dict[str, Any]:
    """A fact's subject, prompt and question, and a note where no name was found.

    `subject` is taken where the benchmark names one and it stands in the question.
    """
    found, note = _subject(question, subject)
    # In code `{}` may stand in a question; a template has one place, so all of it is the subject.
    place = question.rfind(found) if "{}" not in question else -1
    if place < 0:
        found, place, note = question, 0, note or WHOLE
    template = f"{question[:place]}{{}}{question[place + len(found) :]}"
    return {
        "subject": found,
        "prompt": f"{QUESTION}{template}{ANSWER}",
        "question": template,
        **({"note": note} if note else {}),
    }


def _subject(question: str, subject: str) -> tuple[str, str]:
    if subject and re.search(rf"(?<!\w){re.escape(subject)}(?!\w)", question):
        return subject, ""
    quoted = [first or second for first, second in _QUOTED.findall(question)]
    names = sorted((*quoted, *names_in(question)), key=len, reverse=True)
    return (names[0], "") if names else (question, WHOLE)


def names_in(text: str) -> list[str]:
    """The names in a text: words with capitals beside each other, without what opens a sentence."""
    found: list[str] = []
    run: list[str] = []
    opens = True
    for match in _WORD.finditer(text):
        word = match[0]
        core = word.strip(_EDGES)
        named = core[:1].isupper() and not (opens and core.lower() in _OPENERS) and core != "I"
        if named or (run and core.lower() in _LINKS) or (run and core.isdigit()):
            run.append(word)
        else:
            found.append(_joined(run))
            run = []
        if run and word[-1] in ",;:!?)]”":
            found.append(_joined(run))
            run = []
        opens = word[-1] in ".!?:" and len(core) > 2
    found.append(_joined(run))
    return [name for name in dict.fromkeys(found) if name]


def _joined(run: list[str]) -> str:
    while run and run[-1].strip(_EDGES).lower() in _LINKS:
        run = run[:-1]
    name = " ".join(run).strip(_EDGES)
    name = name.removesuffix("'s").removesuffix("’s").rstrip(".") if name else ""
    return name if len(name) > 1 else ""
