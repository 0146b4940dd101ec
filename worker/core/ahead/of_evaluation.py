"""Work of every evaluation, by formula; all but a few take the base and the edited model alike."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from worker.core.ahead.of_unlearning import CHARACTERS, CHECKSUM, OPTIMIZED
from worker.core.ahead.scene import Scene
from worker.core.ahead.work import NOTHING, Work
from worker.core.demo.paths import SAGA
from worker.core.facts import general_facts, relations
from worker.core.training.relearn import RelearnOptions

Formula = Callable[[Scene, Any], Work]
CHOICE_ORDERS = {"rotations": 4, "all": 24}
OPTION = 5
"""Tokens of one option of multiple choice, its letter with it."""
SHOWN = 3
"""Facts that stand before another in a format that shows some."""
FREE_TOKENS = 12
"""Tokens that a free answer takes."""


def probes(s: Scene, options: Any) -> Work:
    rows = s.facts + min(options.retain_facts, s.retain)
    asked = NOTHING
    for name in options.formats:
        asked += options.wordings * _format(s, rows, name, options)
    if options.templates and "own" not in options.formats:
        asked += len(options.templates) * s.ask(2 * rows)
    if options.generate:
        free = min(options.free_facts, s.facts) * 2
        asked += len(options.free_formats) * _generate(s, free, s.length, FREE_TOKENS)
    return s.states * asked


def multiple_choice(s: Scene, options: Any) -> Work:
    rows = s.facts + min(options.retain_facts, s.retain)
    asked = sum((_choice(s, rows, options, shown) for shown in (0, 1, 0)), NOTHING)
    found: Work = s.states * options.wordings * asked
    return found


def paraphrase(s: Scene, options: Any) -> Work:
    return s.states * s.ask(2 * s.facts * (1 + options.per_fact))


def knowledge(s: Scene, options: Any) -> Work:
    every = s.facts + s.retain
    shot = s.ask(every, s.own) if options.shot else NOTHING
    return s.states * (s.ask(every) + shot)


def ripple(s: Scene, options: Any) -> Work:
    beside = 2 * min(options.siblings, s.retain)
    return s.states * s.ask(beside + s.facts * 4)


def truth_ratio(s: Scene, options: Any) -> Work:
    rows = s.facts + min(options.retain_facts, s.retain)
    return s.states * s.ask(rows * (2 + options.wrong_answers))


def familiarity(s: Scene, options: Any) -> Work:
    words = (len(options.text.strip()) or SAGA.stat().st_size) / (CHARACTERS + 1)
    prompts = min(options.prompts, max(1.0, words / 10))
    read = s.read(words * 1.3 / options.words, options.words * 1.3) + s.read(64, s.sentence)
    written = _generate(s, prompts, options.words * 1.3, options.new_tokens)
    return s.states * (read + written)


def faithfulness(s: Scene, options: Any) -> Work:
    # Both directions, at ten sizes each, for the ranking and for each draw of another.
    once = s.size.blocks(
        2 * s.facts * s.length, s.length, s.size.n_layers, 2 * math.ceil(s.facts / 16)
    ) + s.size.unembed(s.facts)
    found: Work = s.ask(s.facts) + once * (
        2 + 2 * 10 * (1 + options.draws) + 2 * (1 + options.draws)
    )
    return found


def interference(s: Scene, options: Any) -> Work:
    return s.states * s.ask(2 * s.facts) + Work(touched=3 * CHECKSUM * s.total)


def language_tasks(s: Scene, options: Any) -> Work:
    rows = options.limit * 2 * len(options.tasks)
    return s.states * s.read(rows, s.sentence * (1 + options.shots), options.batch_size)


def side_effects(s: Scene, options: Any) -> Work:
    lines = [line for line in options.text.splitlines() if line.strip()][: options.sentences]
    n = len(lines) or options.sentences
    others = _others(s.is_bundled, options.facts_per_relation) if options.other_relations else 0
    asked = s.ask(min(options.facts_per_relation, s.retain) + others)
    # What the base knows of the others is asked first; at most all of it is asked again.
    return s.states * (s.read(n, min(options.context, s.sentence)) + asked) + s.ask(others)


def _others(is_bundled: bool, at_most: int) -> int:
    """Facts of the bundled relations, or of generally known ones, so many of each."""
    facts = (relations if is_bundled else general_facts).fact_set().facts
    sizes = Counter(fact.relation for fact in facts)
    return sum(min(at_most, size) for size in sizes.values())


def latent_probes(s: Scene, options: Any) -> Work:
    known = min(options.retain_facts, s.retain)
    # A probe per depth, and one of shuffled answers.
    fitted = Work(4.0 * 100 * known * s.size.d_model * 2 * (s.size.n_layers + 1))
    return s.states * (s.ask(s.facts + known, batch=64) + fitted)


def patch_back(s: Scene, options: Any) -> Work:
    whole = s.size.blocks(s.facts * s.length, s.length, s.size.n_layers)
    back = (s.size.n_layers + 1) / 2 * whole + (s.size.n_layers + 1) * s.size.unembed(s.facts)
    return 2 * (2 * whole + back)


def quantization(s: Scene, options: Any) -> Work:
    rows = s.facts + min(options.retain_facts, s.retain)
    rounded = Work(touched=(CHECKSUM * 2 + 12) * s.size.weights * s.size.n_layers)
    asked = s.ask(2 * rows)
    return s.states * (asked + len(options.kinds) * (asked + rounded))


def relearning(s: Scene, options: Any) -> Work:
    n = s.states if options.attack_base else 1
    return n * sum((relearned(s, mode, options) for mode in options.modes), NOTHING)


def relearned(s: Scene, mode: str, options: Any) -> Work:
    """Fine-tune on half of the facts, some retain facts and text, and ask on the way."""
    size = s.size
    kept = min(options.retain_facts, s.retain) / 2
    facts = 0.0 if mode == "unrelated" else min(options.fact_batch, s.facts / 2)
    rows = facts + min(options.fact_batch, kept)
    sentence = min(options.context, s.sentence)
    # Adapters of rank r on every matrix have about r (in + out) parameters each.
    rank = min(options.rank, size.d_model)
    own = size.weights if mode == "full" else 2 * rank * math.sqrt(6 * size.weights) * 1.2
    trained = own * size.n_layers
    facts_step = size.train(rows * s.own + s.prefix, s.length, rows, 0, trained)
    tokens = options.text_batch * sentence
    text_step = size.train(tokens, sentence, tokens, 0, trained)
    # A forward goes through an adapter's weights as through the block's own.
    through = Work(4 * trained * (rows * s.own + tokens))
    step = facts_step + text_step + through + Work(touched=OPTIMIZED * trained)
    measured = 1 + math.ceil(options.steps / options.measure_every)
    found: Work = options.steps * step + measured * s.ask(2 * (s.facts + kept))
    return found


def soft_prompts(s: Scene, options: Any) -> Work:
    rows, more = s.facts / 2 * options.restarts, options.n_vectors
    step = s.size.train(rows * (s.length + more), s.length, rows, 0, 0.0)
    asked = 2 * s.ask(s.facts + min(options.retain_facts, s.retain), more + s.prefix)
    n = s.states if options.attack_base else 1
    at_once = math.ceil(rows / 64)
    found: Work = n * (options.steps * (step + at_once * Work(passes=3 * s.size.n_layers)) + asked)
    return found


def verdict(s: Scene, options: Any) -> Work:
    rows = s.facts + min(options.retain_facts, s.retain)
    asked = s.states * (8 * s.ask(2 * rows) + s.read(128, s.sentence))
    how = RelearnOptions(steps=options.relearn_steps, retain_facts=2 * options.retain_facts)
    attacked = relearned(s, "lora", how) + relearned(s, "unrelated", how)
    rounded = Work(touched=2 * CHECKSUM * s.total) + s.ask(2 * rows)
    return asked + attacked + rounded + s.ask(s.facts + min(400, s.retain))


def _format(s: Scene, rows: float, name: str, options: Any) -> Work:
    """Ask every fact in one format; a target and an edit target of one token share a prompt."""
    if name.startswith("choice"):
        return _choice(s, rows, options, 1 if name == "choice_shot" else 0)
    if name == "few_shot":
        return s.ask(rows, SHOWN * s.own)
    if name == "prefix":
        return len(options.prefixes) * s.ask(rows, 12)
    return s.ask(rows)


def _choice(s: Scene, rows: float, options: Any, shown: int) -> Work:
    orders = CHOICE_ORDERS.get(options.orders, 4)
    return s.ask(rows * orders, (1 + shown) * 4 * OPTION + shown * s.own)


def _generate(s: Scene, rows: float, prompt: float, new: int) -> Work:
    """Read prompts, and go on by one token after another."""
    if rows <= 0:
        return NOTHING
    batches = math.ceil(rows / 64)
    read = s.size.blocks(rows * prompt, prompt, s.size.n_layers, batches)
    one = s.size.blocks(rows, prompt + new / 2, s.size.n_layers, batches) + s.size.unembed(rows)
    return read + new * one


FORMULAS: dict[str, Formula] = {
    one.__name__: one
    for one in (
        probes, multiple_choice, paraphrase, knowledge, ripple, truth_ratio, familiarity,
        faithfulness, interference, language_tasks, side_effects, latent_probes, patch_back,
        quantization, relearning, soft_prompts, verdict,
    )
}  # fmt: skip
"""Evaluation -> its formula."""
