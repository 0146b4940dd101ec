"""Time the evaluations on the bundled model, and latent probes against scikit-learn.

Prints a markdown table: all built-in evaluations for 16 facts (aim: under 60 s on two cores),
probes of 1,000 facts in 4 formats (under 20 s), and latent probes of all layers in one batched fit
against scikit-learn one by one (5 times faster, accuracy within .01). Beside every time stand the
seconds that the process computed, which a busy machine does not change much.

    python tests/bench/bench_evaluation.py
    python tests/bench/bench_evaluation.py --only probes
    python tests/bench/bench_evaluation.py --only all --evaluation relearning
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from sklearn.linear_model import LogisticRegression

from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.contract.selection import Selection, select
from worker.core.asking.before_after import BeforeAfter
from worker.core.asking.logistic import fit, predict, standardize
from worker.core.asking.states import hidden_states
from worker.core.evaluation import probes
from worker.core.facts.athletes import fact_set as athletes
from worker.core.facts.relations import fact_set as relations
from worker.core.findings import Job
from worker.core.models.cache import ModelCache
from worker.core.models.delta_files import save_delta
from worker.core.models.model import Model
from worker.core.registry import methods
from worker.core.unlearning import localized_finetuning

Row = tuple[str, str, str]
JOB = Job(seed=0, report=Quiet())
NEEDS_MORE = ("faithfulness", "interference")
"""Evaluations that ask about a mask or about several edits, not about one edit and its facts."""


def edit(model: Model, selection: Selection, folder: Path) -> BeforeAfter:
    """A short edit of the first MLPs, so that everything is measured before and after."""
    mask = Mask(components=tuple(f"blocks.{layer}.mlp" for layer in range(3)))
    options = localized_finetuning.Options(steps=10)
    found = localized_finetuning.unlearn(model, selection, mask, options, JOB)
    path = folder / "delta.safetensors"
    receipt = found.receipt
    assert receipt is not None and found.delta is not None
    save_delta(
        path,
        found.delta,
        model=model,
        before_hash=receipt.hash_before,
        after_hash=receipt.hash_after,
    )
    return BeforeAfter(model, (path,))


class Watch:
    """Seconds since it was made: on the wall, and computed by all threads of this process."""

    def __init__(self) -> None:
        self._wall, self._computed = time.perf_counter(), time.process_time()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._wall, time.process_time() - self._computed


def bench_all(model: Model, args: argparse.Namespace) -> Iterator[Row]:
    """Every evaluation with its own defaults, before and after an edit of 16 facts."""
    facts = athletes()
    selection = select(facts, "first:16", 0)
    total = np.zeros(2)
    with tempfile.TemporaryDirectory() as folder:
        models = edit(model, selection, Path(folder))
        for name, method in methods("evaluation").items():
            if name in NEEDS_MORE or args.evaluation not in (None, name):
                continue
            watch = Watch()
            try:
                method.function(models, selection, method.options(), Job(0, Quiet(), facts.facts))
                words = ""
            except UserError as error:
                words = f"not asked: {error}"
            wall, computed = watch.read()
            total += (wall, computed)
            yield f"16 facts, {name}", f"{wall:.1f} s", f"{computed:.1f} s computed {words}"
    words = f"{total[1]:.1f} s computed; aim: under 60 s on two cores"
    yield "16 facts, all of them", f"{total[0]:.1f} s", words


def bench_probes(model: Model, args: argparse.Namespace) -> Iterator[Row]:
    """A thousand facts in four formats, the base alone."""
    selection = select(thousand(), "first:1000", 0)
    options = probes.Options(
        formats=("statement", "question", "cloze", "paraphrase_held_out"),
        retain_facts=0,
        wordings=1,
    )
    watch = Watch()
    found = probes.evaluate(BeforeAfter(model), selection, options, JOB)
    wall, computed = watch.read()
    assert found.arrays["probe.target.before"].values.shape == (1000, 4)
    words = f"{computed:.1f} s computed, {1000 * 4 / wall:.0f} a second; aim: under 20 s"
    yield "1,000 facts × 4 formats", f"{wall:.1f} s", words


def thousand() -> FactSet:
    """The bundled facts, and some under other names, until there are a thousand."""
    own = (*athletes().facts, *relations().facts)
    more = tuple(
        f.model_copy(update={"id": f"{f.id}-again", "subject": f"Old {f.subject}"}) for f in own
    )
    return FactSet(name="thousand", facts=(*own, *more)[:1000])


def bench_latent(model: Model, args: argparse.Namespace) -> Iterator[Row]:
    """Probes of every depth on 400 facts: one batched fit, and scikit-learn one by one."""
    facts: tuple[Fact, ...] = athletes().facts[:500]
    classes = sorted({fact.target for fact in facts})
    y = torch.tensor([classes.index(fact.target) for fact in facts])
    states = hidden_states(model, facts).cpu()
    x, x_test = standardize(states[:, :400], states[:, 400:])
    batched, ours = timed(lambda: ours_accuracy(x, x_test, y, len(classes)), args.repeats)
    alone, theirs = timed(lambda: their_accuracy(x, x_test, y), args.repeats)
    worst = float(np.abs(ours - theirs).max())
    for i, what in enumerate(("on the wall", "computed")):
        words = f"{batched[i]:.2f} s / {alone[i]:.2f} s {what}"
        yield f"latent probes of {len(x)} depths", f"{alone[i] / batched[i]:.1f}x", words
    yield "largest difference of accuracy", f"{worst:.3f}", "aim: 5 times faster, within .01"


def ours_accuracy(x, x_test, y, n_classes: int) -> np.ndarray:
    weights = fit(x, y[:400].expand(len(x), -1), n_classes)
    return (predict(weights, x_test).argmax(-1) == y[400:]).double().mean(1).numpy()


def their_accuracy(x, x_test, y) -> np.ndarray:
    found = []
    for train, test in zip(x.numpy(), x_test.numpy(), strict=True):
        probe = LogisticRegression(max_iter=1000).fit(train, y[:400].numpy())
        found.append(probe.score(test, y[400:].numpy()))
    return np.array(found)


def timed(run: Callable[[], np.ndarray], repeats: int) -> tuple[tuple[float, float], np.ndarray]:
    """The fastest of a few runs, on the wall and computed, and what it gave."""
    times = []
    for _ in range(repeats):
        watch = Watch()
        found = run()
        times.append(watch.read())
    return (min(wall for wall, _ in times), min(cpu for _, cpu in times)), found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    benches = {"latent": bench_latent, "probes": bench_probes, "all": bench_all}
    parser.add_argument("--only", choices=benches)
    parser.add_argument("--evaluation", help="this one of all")
    parser.add_argument("--repeats", type=int, default=3, help="fits of the latent probes")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    model = ModelCache(device=args.device).get("demo")
    print(f"bundled model, {args.device}, {torch.get_num_threads()} threads")
    print("\n| What | Figure | Of which |\n|-|-|-|", flush=True)
    for name, bench in benches.items():
        if args.only in (None, name):
            for row in bench(model, args):
                print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
