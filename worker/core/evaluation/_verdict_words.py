"""The verdict in a word, and in sentences."""

from worker.core.evaluation._verdict_terms import NO_POWER, Answer


def conclude(answers: list[Answer]) -> str:
    """Say in two or three words what the edit did; see the module `verdict` for what they mean."""
    known, said = (next(a.answer for a in answers if a.about == of) for of in ("known", "said"))
    spread = [a for a in answers if a.about == "spread" and a.is_decided]
    attacks = [a for a in answers if a.about in ("back", "read")]
    rest = [a for a in answers if a.about in ("kept", "text")]
    if any(a.answer == "broken" for a in rest):
        return "broken"
    if said == "yes":
        return "still there" if known == "yes" else "told"
    if any(a.answer == "no" for a in spread):
        return "said in other forms"
    if any(a.answer == "yes" for a in attacks):
        return "hidden"
    if known == "no":
        return "never known"
    kept = next((a for a in rest if a.number == "verdict.statement.retain.after"), None)
    # Relearning is the attack that finds most; without it nothing was really looked for.
    if not spread or not attacks[0].is_decided or kept is None or not kept.is_decided:
        return NO_POWER
    return "gone, with harm" if any(a.answer == "harmed" for a in rest) else "gone"


MEANING = {
    "broken": "the model lost what it was to keep, so that nothing else can be said of it",
    "still there": "the facts are said in their own prompt as before",
    "told": "the base did not know the facts, and the edit taught them",
    "said in other forms": "only the own prompt was forgotten; asked otherwise, it is said",
    "hidden": "not said any more, and found again",
    "never known": "neither the base nor the edited model says it, and nothing brings it out",
    NO_POWER: "not said any more, but what could have found it again was not decided",
    "gone, with harm": "not said in any form and not found again, and something else was harmed",
    "gone": "not said in any form, and not found again by what could have found it",
}
"""Every verdict in words."""


def tell(verdict: str, answers: list[Answer]) -> str:
    """Put the verdict into sentences: what broke, where it shows, what finds the facts again."""
    said = [f"Verdict: {verdict} ({MEANING[verdict]})."]
    for about, answer, words in (
        (("kept", "text"), "broken", "Broken: {}."),
        (("kept", "text"), "harmed", "Harmed: {}."),
        (("kept", "text"), "no", "Unharmed: {}."),
        (("spread",), "yes", "Forgotten in {} too."),
        (("spread",), "no", "Not forgotten in {}."),
        (("back", "read"), "yes", "Found again by {}."),
        (("back", "read"), "no", "Not found again by {}."),
    ):
        if names := [a.short for a in answers if a.about in about and a.answer == answer]:
            said.append(words.format(_listed(names)))
    if names := [a.short for a in answers if not a.is_decided]:
        said.append(f"Not decided: {_listed(names)}; the table says why.")
    return " ".join(said)


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
