"""Work of every evaluation, by formula; all but a few take the base and the edited model alike."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

from worker.core.ahead.of_unlearning import CHARACTERS, CHECKSUM, OPTIMIZED
from worker.core.ahead.scene import Scene
from worker.core.ahead.work import NOTHING, Work
from worker.core.asking.formats import CHOICES
from worker.core.asking.free import NEW_TOKENS as FREE_TOKENS
from worker.core.demo.paths import SAGA
from worker.core.facts import general_facts, relations
from worker.core.patching.faithfulness import prefixes
from worker.core.training.relearn import RelearnOptions

Formula = Callable[[Scene, Any], Work]
VERDICT = ("statement", "paraphrase_held_out", "paraphrase", "question", "choice")
"""Formats that the verdict asks in."""
ITEM = 100
"""Tokens of a benchmark's question with an answer, at most."""
PER_KIND = 10
"""Facts of each other relation that the verdict asks."""
BEFORE = 4
"""Neighbourhood prompts of a fact that the verdict asks, at most."""
CONTROLS = 4
"""Shuffled answers to which probes of hidden states are fitted beside the true ones."""
LOOKS = 25
"""Times that fitting a probe goes through its rows."""


def probes(s: Scene, options: Any) -> Work:
    retain = s.tested(options.retain_facts)
    formats = [*options.formats]
    if options.templates and "own" not in formats:
        formats.append("own")
    asked = sum((s.format(s.facts + retain, name, options) for name in formats), NOTHING)
    if options.generate:
        free = min(options.free_facts, s.facts) + min(options.free_facts, retain)
        for name in set(options.free_formats) & set(formats):
            made = s.form(name, options)
            asked += s.go_on(free * bool(made.prompts), made.tokens, FREE_TOKENS)
    return s.states * asked


def multiple_choice(s: Scene, options: Any) -> Work:
    rows = s.facts + s.tested(options.retain_facts)
    asked = sum((s.format(rows, name, options) for name in CHOICES), NOTHING)
    found: Work = s.states * asked
    return found


def paraphrase(s: Scene, options: Any) -> Work:
    beside = (min(options.per_fact, s.brings(name)) for name in ("paraphrases", "neighbourhood"))
    return s.states * s.ask(s.facts * (1 + sum(beside)) * s.scored(2), keep=s.keep)


def knowledge(s: Scene, options: Any) -> Work:
    every = s.facts + s.retain
    asked = recalled(s, every)
    if options.shot:
        asked += recalled(s, every, s.length + s.answer)
    return s.states * asked


def recalled(s: Scene, rows: float, more: float = 0.0) -> Work:
    """Score each answer, and read its rivals after the prompt; score whole what begins alike."""
    alike = s.rendered.alike() if s.rendered else 0.0
    scored = s.ask(rows, more, keep=s.keep, before=more)
    scored += s.ask(rows * alike, more, keep=s.keep, before=more)
    return scored + s.ask(rows, more, before=more)


def ripple(s: Scene, options: Any) -> Work:
    entailed, back, kept = (
        min(options.per_fact, s.brings(name)) for name in ("entailed", "reversed", "kept")
    )
    beside = s.ask(s.tested(options.siblings), keep=s.keep)
    asked = s.facts * ((2 * entailed + kept) * s.scored() + 2 * back)
    return s.states * (beside + s.ask(asked, keep=s.keep))


def truth_ratio(s: Scene, options: Any) -> Work:
    rows = s.facts + s.tested(options.retain_facts)
    answers = 1 + min(1.0, s.brings("aliases")) + min(options.wrong_answers, s.brings("options"))
    return s.states * s.ask(rows * s.scored(answers), keep=s.keep)


def familiarity(s: Scene, options: Any) -> Work:
    words = (len(options.text.strip()) or SAGA.stat().st_size) / (CHARACTERS + 1)
    prompts = min(options.prompts, max(1.0, words / 10))
    read = s.read(words * 1.3 / options.words, options.words * 1.3) + s.passages(64, 100)
    written = s.go_on(prompts, options.words * 1.3, options.new_tokens)
    return s.states * (read + written)


def faithfulness(s: Scene, options: Any) -> Work:
    # Clean, corrupted, and with nothing kept; then, both ways, each size of the ranking and of
    # every draw, and the mask itself.
    width, batches = s.padded(s.facts, options.batch_size), math.ceil(s.facts / options.batch_size)
    once = s.size.blocks(s.facts * width, width, s.size.n_layers, batches)
    counts = prefixes(s.size.n_layers * (s.size.n_heads + 1))
    runs = 3 + 2 * (1 + options.draws) * (len(counts) + 1)
    found: Work = s.ask(s.facts) + runs * (once + s.size.unembed(s.facts))
    return found


def interference(s: Scene, options: Any) -> Work:
    n = len(s.changed)
    asked = (1 + n) * sum((s.ask(facts * s.heard()) for facts in s.changed), NOTHING)
    return asked + Work(touched=(1 + n) * CHECKSUM * s.in_deltas)


def language_tasks(s: Scene, options: Any) -> Work:
    rows = options.limit * 2 * len(options.tasks)
    return s.states * s.read(rows, min(ITEM, s.sentence) * (1 + options.shots), options.batch_size)


def side_effects(s: Scene, options: Any) -> Work:
    lines = [line for line in options.text.splitlines() if line.strip()][: options.sentences]
    n = len(lines) or options.sentences
    others = _others(s.is_bundled, options.facts_per_relation) if options.other_relations else 0
    beside = min(options.facts_per_relation, s.facts * s.brings("kept"))
    asked = s.ask((s.tested(options.facts_per_relation) + beside) * s.heard()) + s.ask(others)
    # What the base knows of the others is asked first, and once; at most all of it is asked again.
    first = NOTHING if "base" in s.kept else s.ask(others)
    return s.states * (s.passages(n, options.context) + asked) + first


def _others(is_bundled: bool, at_most: int) -> int:
    """Facts of the bundled relations, or of generally known ones, so many of each."""
    facts = (relations if is_bundled else general_facts).fact_set().facts
    sizes = Counter(fact.relation for fact in facts)
    return sum(min(at_most, size) for size in sizes.values())


def latent_probes(s: Scene, options: Any) -> Work:
    return s.states * _read(s, options.retain_facts)


def _read(s: Scene, at_most: float) -> Work:
    """Fit probes of every depth, and controls, to states; read facts by them and by the lens."""
    trained, watched, _ = s.parted
    taught, tested = min(trained + watched, at_most * 4 / 5), s.tested(at_most / 5)
    depths, wide = s.size.n_layers + 1, s.size.d_model + 1
    curved = 2 * taught * wide**2
    looked = LOOKS * 4 * taught * wide * s.kinds
    fitted = Work((1 + CONTROLS) * depths * (curved + looked))
    lens = 2 * s.ask(s.facts) + depths * s.size.unembed(s.facts)
    return s.ask(taught) + s.ask(tested) + lens + fitted


def patch_back(s: Scene, options: Any) -> Work:
    width = s.padded(s.facts)
    whole = s.size.blocks(s.facts * width, width, s.size.n_layers)
    back = (s.size.n_layers + 1) / 2 * whole + (s.size.n_layers + 1) * s.size.unembed(s.facts)
    return 2 * (2 * whole + back)


def quantization(s: Scene, options: Any) -> Work:
    rows = s.facts + s.tested(options.retain_facts)
    rounded = Work(touched=(CHECKSUM * 2 + 12) * s.size.weights * s.size.n_layers)
    asked = s.ask(rows * s.heard())
    return s.states * (asked + len(options.kinds) * (asked + rounded))


def relearning(s: Scene, options: Any) -> Work:
    n = s.states if options.attack_base else 1
    return n * sum((relearned(s, mode, options) for mode in options.modes), NOTHING)


def relearned(s: Scene, mode: str, options: Any) -> Work:
    """Fine-tune on half of the facts, some retain facts and text, and ask on the way."""
    size = s.size
    half = (options.retain_facts + 1) // 2
    kept, asked = min(half, s.parted[0]), s.facts + s.tested(half)
    facts = 0.0 if mode == "unrelated" else min(options.fact_batch, s.facts / 2)
    rows = facts + min(options.fact_batch, kept)
    width, begun = s.padded(rows), s.begun(rows)
    sentence = min(options.context, s.widest(options.text_batch))
    own_tokens = rows * max(1.0, width - begun) + begun
    tokens = options.text_batch * sentence
    # Adapters of rank r on every matrix have about r (in + out) parameters each.
    rank, every = min(options.rank, size.d_model), size.weights * size.n_layers
    adapters = 2 * rank * math.sqrt(6 * size.weights) * 1.2 * size.n_layers
    trained, apart = every, NOTHING
    if mode != "full" and options.dropout:
        # A forward goes through an adapter's weights as through the block's own.
        trained, apart = adapters, Work(4 * adapters * (own_tokens + tokens))
    elif mode != "full":
        # Multiplied into the weights once a step, and the gradient back out of them.
        apart = Work(6 * rank * every)
    facts_step = size.train(own_tokens, width, rows * s.keep, 0, trained)
    text_step = size.train(tokens, sentence, tokens, 0, trained)
    optimized = Work(touched=OPTIMIZED * (every if mode == "full" else adapters))
    step = facts_step + text_step + apart + optimized
    measured = 1 + math.ceil(options.steps / options.measure_every)
    found: Work = options.steps * step + measured * s.ask(asked * s.heard())
    return found


def soft_prompts(s: Scene, options: Any) -> Work:
    rows, more = s.facts / 2 * options.restarts, options.n_vectors
    width = s.padded(s.facts / 2) + more
    # Each start's vectors, and what all prompts begin with, run once.
    tokens = rows * (width - more - s.prefix) + options.restarts * (more + s.prefix)
    step = s.size.train(tokens, width, rows * s.keep, 0, 0.0)
    # Every start's end, and all facts with the best vectors and without any.
    ends = s.size.blocks(tokens, width, s.size.n_layers, options.restarts)
    everyone = s.facts + s.tested(options.retain_facts)
    asked = s.ask(everyone, more, keep=s.keep, before=more) + s.ask(everyone, keep=s.keep) + ends
    n = s.states if options.attack_base else 1
    at_once = math.ceil(rows / 64)
    found: Work = n * (options.steps * (step + at_once * Work(passes=3 * s.size.n_layers)) + asked)
    return found


def verdict(s: Scene, options: Any) -> Work:
    rows = s.facts + s.tested(options.retain_facts)
    formats = sum((s.format(rows, name) for name in VERDICT), NOTHING)
    beside = s.ask(s.facts * min(BEFORE, s.brings("neighbourhood")) * s.scored())
    others = s.ask(_others(s.is_bundled, PER_KIND))
    asked = formats + beside + s.passages(64, 100) + others + s.spoken()
    how = RelearnOptions(steps=options.relearn_steps, retain_facts=2 * options.retain_facts)
    attacked = relearned(s, "lora", how) + relearned(s, "unrelated", how)
    rounded = Work(touched=2 * CHECKSUM * s.total) + s.ask(rows * s.heard())
    first = NOTHING if s.states == 1 else others
    return s.states * asked + first + attacked + rounded + _read(s, 400)


FORMULAS: dict[str, Formula] = {
    one.__name__: one
    for one in (
        probes, multiple_choice, paraphrase, knowledge, ripple, truth_ratio, familiarity,
        faithfulness, interference, language_tasks, side_effects, latent_probes, patch_back,
        quantization, relearning, soft_prompts, verdict,
    )
}  # fmt: skip
"""Evaluation -> its formula."""
