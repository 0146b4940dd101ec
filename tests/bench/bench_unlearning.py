"""Compare unlearning with the ways others compute the same, on one machine and in one run.

Prints a markdown table: a step of localized fine-tuning through a quarter of the layers against
the same step over all parameters by transformers' Trainer (time, and peak memory above the loaded
model); MEMIT for 100 facts against one fact at a time; second moments of all layers in one pass
against layer by layer; a whole edit of 16 facts; what live curves cost. Both sides of a ratio run
interleaved, three rounds at least and more while their share of the time lasts (`--seconds`);
times are medians. Memory is taken in a process of its own for each side: on a CPU the largest
resident size less the one after loading, on a GPU the allocator's. What is asked of step and memory
is asked of GPT-2 small's shape; `--quick` shows only that both sides run.

    python tests/bench/bench_unlearning.py            # GPT-2 small's shape, random weights
    python tests/bench/bench_unlearning.py --quick    # a smaller shape, fewer rounds
"""

import argparse
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.interleaved import Run, Timed, interleave, synchronize
from worker.contract.mask import Mask
from worker.contract.progress import Quiet, Report
from worker.contract.selection import Selection
from worker.core.closed_form import memory as _memory
from worker.core.demo.paths import GENERAL
from worker.core.facts.athletes import fact_set
from worker.core.findings import Findings, Job
from worker.core.models.load import load_model
from worker.core.models.model import Model
from worker.core.training.pool import IGNORED, Row, fact_rows, text_rows
from worker.core.unlearning import localized_finetuning, memit
from worker.engine.compute import Pipe, PipeReport

FACTS = fact_set().facts
ROWS = 16
"""Rows of each of a step's three batches: forget, retain, general."""
PLACES = {"lowest": 0.0, "middle": 0.5, "highest": 1.0}
LOOKUP = Mask(components=tuple(f"blocks.{layer}.mlp" for layer in (2, 3, 4)))
"""Where the bundled model's card edits its athletes."""

Cells = tuple[str, ...]


def make_model(shape: tuple[int, int, int, int], device: str) -> Model:
    layers, width, heads, vocab = shape
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=vocab, n_embd=width, n_layer=layers, n_head=heads, bos_token_id=0,
        eos_token_id=1, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0,
    )  # fmt: skip
    return Model("random", GPT2LMHeadModel(config).to(device), load_model("demo").tokenizer)


def quarter(n_layers: int, place: str) -> Mask:
    """Name everything in a quarter of the layers."""
    first = round((n_layers - n_layers // 4) * PLACES[place])
    layers = range(first, first + n_layers // 4)
    return Mask(components=tuple(f"blocks.{i}.{kind}" for i in layers for kind in ("attn", "mlp")))


class Clock(Quiet):
    """A Report that notes when each step was over."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def progress(self, fraction: float, message: str) -> None:
        if message.startswith("Step "):
            synchronize()
            self.times.append(time.perf_counter())


class Stamps(TrainerCallback):  # type: ignore[misc]
    """The same for transformers' Trainer."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *args: object, **kwargs: object) -> None:
        synchronize()
        self.times.append(time.perf_counter())


def step_ours(model: Model, place: str, steps: int = 4) -> float:
    """Edit through a quarter of the layers; seconds of a step that neither begins nor ends."""
    clock = Clock()
    options = localized_finetuning.Options(
        steps=steps, learning_rate=1e-5, forget_batch=ROWS, retain_batch=ROWS, general_batch=ROWS,
        general_sentences=ROWS, probe_every=1000, keep="last", retain_floor=0,
    )  # fmt: skip
    selection = Selection(forget=FACTS[:ROWS], retain=FACTS[ROWS : 2 * ROWS])
    mask = quarter(model.n_layers, place)
    localized_finetuning.unlearn(model, selection, mask, options, Job(seed=0, report=clock))
    return (clock.times[steps - 1] - clock.times[1]) / (steps - 2)


def step_theirs(model: Model, steps: int = 3) -> float:
    """Train all parameters on the same rows, a batch of each kind accumulated into one step."""
    stamps = Stamps()
    model.hf.requires_grad_(True)
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, max_steps=steps, per_device_train_batch_size=ROWS,
            gradient_accumulation_steps=3, train_sampling_strategy="sequential",
            learning_rate=1e-5, lr_scheduler_type="cosine", weight_decay=0.0, max_grad_norm=1.0,
            report_to="none", save_strategy="no", logging_strategy="no", disable_tqdm=True,
            use_cpu=model.device.type == "cpu", remove_unused_columns=False,
            dataloader_pin_memory=False, seed=0,
        )  # fmt: skip
        rows = same_rows(model) * steps
        trainer = Trainer(
            model=model.hf,
            args=arguments,
            train_dataset=rows,
            data_collator=lambda batch: collate(batch, model.pad_id),
            callbacks=[stamps],
        )
        trainer.remove_callback(PrinterCallback)  # it would print into the table
        trainer.train()
    return (stamps.times[steps - 1] - stamps.times[0]) / (steps - 1)


def same_rows(model: Model) -> list[Row]:
    """Make the rows that `step_ours` trains on, forget, retain, general."""
    forget, retain = FACTS[:ROWS], FACTS[ROWS : 2 * ROWS]
    lines = [line for line in GENERAL.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [
        *fact_rows(model, forget, [fact.edit_target for fact in forget]),
        *fact_rows(model, retain, [fact.target for fact in retain]),
        *text_rows(model, random.Random(0).sample(lines, ROWS), 100),
    ]


def collate(rows: list[Row], pad: int) -> dict[str, torch.Tensor]:
    """Pad on the left; labels at their own tokens' places, as transformers' models take them."""
    width = max(len(row.ids) for row in rows) + 1
    ids, mask, labels = [], [], []
    for row in rows:
        left = width - len(row.ids) - 1
        ids.append([pad] * left + [*row.ids, row.labels[-1]])
        mask.append([0] * left + [1] * (len(row.ids) + 1))
        labels.append([IGNORED] * (left + 1) + list(row.labels))
    return {
        "input_ids": torch.tensor(ids),
        "attention_mask": torch.tensor(mask),
        "labels": torch.tensor(labels),
    }


def bench_step(args: argparse.Namespace, seconds: float) -> list[Cells]:
    ours, theirs = make_model(args.shape, args.device), make_model(args.shape, args.device)
    runs: dict[str, Run] = {"theirs": lambda: step_theirs(theirs)}
    for place in PLACES:
        runs[place] = lambda place=place: step_ours(ours, place)  # type: ignore[misc]
    took, rounds = interleave(runs, seconds, args.rounds)
    return [
        (
            f"A step through the {place} quarter of the layers over Trainer's, all parameters",
            "≤ 0.5",
            f"{took[place] / took['theirs']:.2f}",
            f"{took[place]:.3g} s / {took['theirs']:.3g} s",
            str(rounds),
        )
        for place in PLACES
    ]


def bench_memory(args: argparse.Namespace, seconds: float) -> Iterator[Cells]:
    theirs = peak_elsewhere(args, "theirs")
    for place in PLACES:
        ours = peak_elsewhere(args, place)
        what = f"Peak memory of the edit through the {place} quarter over Trainer's"
        sizes = f"{ours / 2**20:.0f} MiB / {theirs / 2**20:.0f} MiB"
        yield what, "≤ 0.4", f"{ours / theirs:.2f}", sizes, "1"


def peak_elsewhere(args: argparse.Namespace, side: str) -> int:
    """Run one side of the step in a process of its own; bytes above the loaded model."""
    command = [sys.executable, __file__, "--peak-of", side, "--device", args.device]
    command += ["--quick"] if args.quick else []
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(ended.stdout.splitlines()[-1])


def peak_here(args: argparse.Namespace) -> int:
    """Take the steps and give the peak above the loaded model.

    All steps of the edit count, its checkpoint, the base's copies and the kept hidden states too.
    """
    side = args.peak_of
    step: Callable[[Model], float] = (
        step_theirs if side == "theirs" else partial(step_ours, place=side)
    )
    step(make_model((4, 32, 2, 2000), args.device))  # what is imported late is not the step's
    model = make_model(args.shape, args.device)
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        loaded = torch.cuda.memory_allocated()
        step(model)
        return torch.cuda.max_memory_allocated() - loaded
    loaded, highest = resident(), largest_resident()
    step(model)
    assert largest_resident() > highest, "loading took more memory than the steps: no peak is seen"
    return largest_resident() - loaded


def resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def largest_resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def bench_memit(args: argparse.Namespace, seconds: float) -> list[Cells]:
    """Edit 100 facts at once and a sample of them singly; second moments are known to both."""
    model = load_model("demo", device=args.device)
    forget, retain = FACTS[:100], FACTS[100:200]
    mask = LOOKUP
    singles = forget[:: 100 // (5 if args.quick else 20)]

    def edit(facts: tuple) -> Findings:  # type: ignore[type-arg]
        selection = Selection(forget=facts, retain=retain)
        return memit.unlearn(model, selection, mask, memit.Options(), Job(0, Quiet()))

    def one_by_one() -> float:
        took = Timed(lambda: [edit((fact,)) for fact in singles])()
        return took * len(forget) / len(singles)

    edit(forget)
    took, rounds = interleave(
        {"ours": Timed(lambda: edit(forget)), "theirs": one_by_one}, seconds, args.rounds
    )
    what = f"MEMIT for 100 facts against one at a time ({len(singles)} timed), bundled model"
    return [against(what, "≥ 10x", took, rounds)]


def bench_moments(args: argparse.Namespace, seconds: float) -> list[Cells]:
    """Collect all layers' second moments in one pass, and with a pass per layer."""
    model = make_model(args.shape, args.device)
    layers = list(range(model.n_layers))

    def collect(chosen: list[int]) -> _memory.Moments:
        _memory._kept.clear()
        job = Job(seed=0, report=Quiet())
        return _memory.second_moments(model, chosen, job, 1000 if args.quick else 2000)

    def layer_by_layer() -> _memory.Moments:
        return {layer: collect([layer])[layer] for layer in layers}

    once, each = collect(layers), layer_by_layer()
    assert all(torch.allclose(once[layer], each[layer]) for layer in layers)
    runs = {"ours": Timed(lambda: collect(layers)), "theirs": Timed(layer_by_layer)}
    took, rounds = interleave(runs, seconds, args.rounds)
    what = f"Second moments of {len(layers)} layers in one pass against layer by layer"
    return [against(what, "> 1x", took, rounds)]


def against(what: str, asked: str, took: dict[str, float], rounds: int) -> Cells:
    times = f"{took['ours']:.3g} s / {took['theirs']:.3g} s"
    return what, asked, f"{took['theirs'] / took['ours']:.1f}x", times, str(rounds)


def edit_athletes(model: Model, report: Report, **options: int) -> Findings:
    """Edit 16 athletes of the bundled model with the method's defaults."""
    selection = Selection(forget=FACTS[:16], retain=FACTS[16:])
    chosen = localized_finetuning.Options(**options)  # type: ignore[arg-type]
    return localized_finetuning.unlearn(model, selection, LOOKUP, chosen, Job(0, report))


def bench_edit(args: argparse.Namespace, seconds: float) -> list[Cells]:
    """Load the bundled model and edit 16 facts."""
    run = Timed(lambda: edit_athletes(load_model("demo", device=args.device), Quiet()))
    took, rounds = interleave({"ours": run}, seconds, args.rounds)
    what = "Localized fine-tuning of 16 facts on the bundled model, loading counted"
    return [(what, "< 30 s", f"{took['ours']:.1f} s", "", str(rounds))]


def bench_curves(args: argparse.Namespace, seconds: float) -> list[Cells]:
    """Train with probes and every event written out, and with neither."""
    model = load_model("demo", device=args.device)
    shares: list[float] = []

    def live() -> None:
        with tempfile.TemporaryFile() as file:
            report = PipeReport(Pipe(file, file), "bench")
            told = edit_athletes(model, report).summary
            report.close()
        shares.append(float(told["training.probe_seconds"]) / float(told["training.seconds"]))  # type: ignore[arg-type]

    def silent() -> None:
        edit_athletes(model, Quiet(), probe_every=10_000)

    took, rounds = interleave({"ours": Timed(live), "theirs": Timed(silent)}, seconds, args.rounds)
    share = f"{100 * (took['ours'] / took['theirs'] - 1):.1f} %"
    times = f"{took['ours']:.3g} s / {took['theirs']:.3g} s"
    counted = f"{100 * statistics.median(shares):.1f} %"
    return [
        ("Live curves: probes' share of the training's time", "< 10 %", counted, "", str(rounds)),
        ("Live curves: an edit with them over one without", "< 10 %", share, times, str(rounds)),
    ]


BENCHES = {
    "step": bench_step,
    "memory": bench_memory,
    "memit": bench_memit,
    "moments": bench_moments,
    "edit": bench_edit,
    "curves": bench_curves,
}


def describe(args: argparse.Namespace) -> str:
    """Say on which machine, with what and how busy this ran."""
    on_gpu = args.device.startswith("cuda")
    device = torch.cuda.get_device_name() if on_gpu else f"CPU of {os.cpu_count()} cores"
    layers, width, _, vocab = args.shape
    return (
        f"python {' '.join(sys.argv)}\n\n{layers} layers, width {width}, vocabulary {vocab}, "
        f"float32, seed 0, {device}, {torch.get_num_threads()} threads, torch {torch.__version__}; "
        f"load average {os.getloadavg()[0]:.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="8 layers of width 256")
    parser.add_argument("--only", choices=BENCHES, action="append", help="some of the comparisons")
    parser.add_argument("--rounds", type=int, default=3, help="of timing, at least (default 3)")
    parser.add_argument(
        "--seconds", type=float, help="of timing in all, beyond the least rounds (30 or 300)"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--peak-of", choices=["theirs", *PLACES], help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.shape = (8, 256, 4, 8000) if args.quick else (12, 768, 12, 50257)
    if args.peak_of:
        print(peak_here(args))
        return
    chosen = args.only or list(BENCHES)
    share = (args.seconds if args.seconds is not None else 30 if args.quick else 300) / len(chosen)
    print(describe(args))
    print("\n| What | Asked | Found | Ours / theirs | Rounds |\n|-|-|-|-|-|")
    for name in chosen:
        for cells in BENCHES[name](args, share):
            print(f"| {' | '.join(cells)} |", flush=True)
    print(f"\nLoad average at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
