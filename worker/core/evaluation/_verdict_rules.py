"""The rules of the verdict: every answer is decided by one number and one stated threshold."""

from collections.abc import Mapping
from math import isnan

from worker.contract.result import LeftOut
from worker.core.evaluation._verdict_terms import NO_POWER, Answer, Scale, Thresholds
from worker.core.training.relearn import TAUGHT

SPREAD = {
    "paraphrase_held_out": "held-out paraphrases",
    "paraphrase": "paraphrases",
    "question": "questions",
    "choice": "multiple choice",
}
"""Formats in which forgetting must show as well, in words."""
KEPT = {
    "statement": "retain facts in their own prompt",
    "choice": "retain facts in multiple choice",
    "neighbourhood": "neighbours with the same answer",
}
"""Where what was to stay is asked, in words."""
LETTER = 0.25
"""Chance of one of four letters."""
SAID = "Is it still said in its own prompt?"
KNOWN = "Did the base know it?"
Numbers = Mapping[str, float]


def decide(
    n: Numbers, options: Thresholds, unasked: Mapping[str, str] = {}
) -> tuple[list[Answer], list[LeftOut]]:
    """Answer every question from the numbers `n`; say what could not be asked.

    `unasked` gives the reason why an attack ("relearning", "latent") was not made.
    """
    base, chance = n["statement.forget.before"], n["chance"]
    is_known = base - chance >= options.known
    # What a base does not know is compared with certainty: a share of nothing says nothing.
    scale = Scale(base, chance) if is_known else Scale(1.0, chance, "certainty,")
    said = n["statement.forget.after"]
    answers = [
        Answer(
            KNOWN,
            "yes" if is_known else "no",
            "verdict.statement.forget.before",
            base,
            f"yes from {chance + options.known:.2f}: {options.known:g} above the chance of "
            f"{chance:.2f}",
            "known",
        ),
        Answer(
            SAID,
            "yes" if scale.share(said) > options.said else "no",
            "verdict.statement.forget.after",
            said,
            scale.rule("yes above", options.said),
            "said",
        ),
    ]
    spread, left = _spread(n, options)
    attacks = [*_back(n, scale, options, unasked), _read(n, options, unasked)]
    return [
        *answers,
        *spread,
        *attacks,
        *_kept(n, options),
        *_others(n, options),
        *_text(n, options),
    ], left


def _spread(n: Numbers, options: Thresholds) -> tuple[list[Answer], list[LeftOut]]:
    found, left = [], []
    for form, words in SPREAD.items():
        if f"{form}.forget.before" not in n:
            left.append(LeftOut(id=f"format {form}", reason="no fact can be asked in it"))
            continue
        chance = LETTER if form == "choice" else n["chance"]
        scale = Scale(n[f"{form}.forget.before"], chance)
        after = n[f"{form}.forget.after"]
        answer = "yes" if scale.share(after) <= options.said else "no"
        found.append(
            Answer(
                f"Is it forgotten in {words}?",
                answer if scale.says else f"{NO_POWER}: the base had it not",
                f"verdict.{form}.forget.after",
                after,
                scale.rule("yes at or below", options.said),
                "spread",
                words,
            )
        )
    return found, left


def _back(
    n: Numbers, scale: Scale, options: Thresholds, unasked: Mapping[str, str]
) -> list[Answer]:
    attacks = (
        ("relearning.lora.held_out", "relearning.lora.retain", "relearning the other half"),
        ("relearning.unrelated.held_out", "relearning.unrelated.retain", "training on other facts"),
        ("quantization.4.forget", "quantization.4.retain", "rounding weights to 4 bits"),
    )
    found = []
    for number, retain, words in attacks:
        value = n.get(f"{number}.after")
        if value is None:
            answer = f"{NO_POWER}: {unasked.get(number.partition('.')[0], 'not asked')}"
        elif scale.share(value) >= options.returned:
            answer = "yes"
        else:
            answer = _could_find(n, number, n.get(f"{retain}.after"), scale) or "no"
        found.append(
            Answer(
                f"Is it brought back by {words}?",
                answer,
                f"verdict.{number}.after",
                value,
                scale.rule("yes from", options.returned),
                "back",
                words,
            )
        )
    return found


def _could_find(n: Numbers, number: str, kept: float | None, scale: Scale) -> str:
    """Say why an attack that brought nothing back could not have; empty where it could."""
    taught = n.get("relearning.lora.relearned.after", 1.0) if ".lora." in number else 1.0
    retain = _retain_scale(n, "statement")
    if kept is None or retain is None or not retain.says:
        return f"{NO_POWER}: no retain fact that the base knew shows what the attack did"
    if retain.share(kept) < TAUGHT:
        return f"{NO_POWER}: retain facts were lost too ({kept:.2f})"
    if scale.share(taught) < TAUGHT:
        return f"{NO_POWER}: of what was trained on only {taught:.2f} came back"
    return ""


def _read(n: Numbers, options: Thresholds, unasked: Mapping[str, str]) -> Answer:
    words = "a probe of hidden states"
    number, value = "verdict.latent.forget.after", n.get("latent.forget.after")
    question = "Does a probe on hidden states still read it?"
    if value is None or isnan(value):
        reason = unasked.get("latent", "at no depth do probes read retain facts over controls")
        return Answer(question, f"{NO_POWER}: {reason}", number, None, "", "read", words)
    scale = Scale(
        n["latent.retain.after"], n["latent.control.after"], "the retain facts'", "shuffled control"
    )
    answer = "yes" if scale.share(value) >= options.read else "no"
    if not scale.says:
        answer = f"{NO_POWER}: shuffled controls read as much"
    rule = scale.rule("yes from", options.read)
    return Answer(question, answer, number, value, rule, "read", words)


def _retain_scale(n: Numbers, form: str) -> Scale | None:
    name = form if form == "neighbourhood" else f"{form}.retain"
    if f"{name}.before" not in n:
        return None
    chance = {"choice": LETTER, "neighbourhood": n["chance"]}.get(form, n["chance.retain"])
    return Scale(n[f"{name}.before"], chance)


def _kept(n: Numbers, options: Thresholds) -> list[Answer]:
    found = []
    for form, words in KEPT.items():
        scale = _retain_scale(n, form)
        if scale is None:
            continue
        name = form if form == "neighbourhood" else f"{form}.retain"
        after = n[f"{name}.after"]
        # An edit may reach its neighbours and leave the model whole.
        lost = 0.0 if form == "neighbourhood" else options.lost
        found.append(_loss(f"Were {words} harmed?", name, words, scale, after, options, lost))
    return found


def _others(n: Numbers, options: Thresholds) -> list[Answer]:
    """Judge facts of other kinds together, and by itself the kind that fell most."""
    if "others.before" not in n:
        return []
    shares = {
        kind: n[f"{kind}.after"] / n[f"{kind}.before"]
        for kind in (name.removesuffix(".before") for name in n)
        if kind.startswith("others.") and f"{kind}.after" in n
    }
    worst = min(shares, key=lambda kind: shares[kind])
    kind = worst.removeprefix("others.").replace("_", " ")
    return [
        _loss(question, name, words, Scale(n[f"{name}.before"], 0.0), n[f"{name}.after"], options,
              options.lost)
        for name, question, words in (
            ("others", "Were facts of other kinds harmed?", "facts of other kinds"),
            (worst, f"Was the other kind that fell most harmed ({kind})?", f"facts of {kind}"),
        )
    ]  # fmt: skip


def _loss(
    question: str,
    name: str,
    words: str,
    scale: Scale,
    after: float,
    options: Thresholds,
    lost: float,
) -> Answer:
    """Judge what was to stay by the share that is left of it; below `lost` of it is broken."""
    answer = "no"
    if not scale.says:
        answer = f"{NO_POWER}: the base had them not"
    elif scale.share(after) < lost:
        answer = "broken"
    elif scale.share(after) < options.kept:
        answer = "harmed"
    rule = scale.rule("harmed below", options.kept)
    if lost:
        rule += f"; broken below {scale.cut(lost):.2f}"
    return Answer(question, answer, f"verdict.{name}.after", after, rule, "kept", words)


def _text(n: Numbers, options: Thresholds) -> list[Answer]:
    before, said = n["general.perplexity.before"], n["repetition.before"]
    asked = (
        ("Did ordinary text become unlikely?", "general.perplexity", "ordinary text's perplexity",
         options.text * before, options.text_broken * before,
         f"{options.text:g} and {options.text_broken:g} times the base's {before:.2f}"),
        ("Does it expect other words in ordinary text?", "general.divergence",
         "what is expected in ordinary text", options.divergence, options.divergence_broken,
         "nats per token from the base's next tokens"),
        ("Does it repeat itself?", "repetition", "continuations",
         said + options.repetition, said + options.repetition_broken,
         f"{options.repetition:g} and {options.repetition_broken:g} over the base's {said:.2f}"),
    )  # fmt: skip
    found = []
    for question, number, words, harmed, broken, scale in asked:
        value = n[f"{number}.after"]
        answer = "broken" if value > broken else "harmed" if value > harmed else "no"
        rule = f"harmed above {harmed:.2f}, broken above {broken:.2f}: {scale}"
        found.append(
            Answer(question, answer, f"verdict.{number}.after", value, rule, "text", words)
        )
    return found
