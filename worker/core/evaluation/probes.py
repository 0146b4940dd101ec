"""Asks for every fact in many formats, before and after the edit.

1. Render each forget fact, and a bounded number of retain facts, in each format: wordings that the
   bundled model was trained on, wordings held out, multiple choice with the options permuted so
   that every option stands at every letter, shots and prefixes, chat, another language. A format
   that the facts or the tokenizer do not have is left out with the reason.
2. Read the probability of the target and of the edit target: of the whole answer among all tokens,
   teacher-forced; in multiple choice, of the letter among the four letters. Average over a
   format's wordings and orders.
3. Let the model answer some of the prompts freely (greedy, 8 tokens) and compare word for word:
   what it says stands beside what teacher forcing gives.
4. Average over forget and over retain facts, with 95 % bootstrap intervals over facts.

Source: Guo et al. 2024 (arXiv 2410.12949), whose "accuracy" is this mean probability. Departures:
the paper shares the probability among four sports or letters and keeps the options' order fixed.
Limits: a low probability says that the answer is not said, not that it is gone.
"""

from pydantic import Field

from worker.contract.base import Options as BaseOptions
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter
from worker.core.asking.fact_table import probe_findings
from worker.core.asking.formats import check_formats
from worker.core.asking.free import Freely
from worker.core.asking.probe import plan_probe, probe
from worker.core.asking.setting import PREFIXES, Orders, setting
from worker.core.findings import Findings, Job

TITLE = "Probes in many formats"
PAPER = "Guo et al. 2024, Mechanistic Unlearning, arXiv 2410.12949"
DEFAULT_FORMATS = (
    "statement",
    "paraphrase",
    "framed",
    "question",
    "cloze",
    "choice",
    "choice_shot",
    "capitalized",
    "dashed",
    "paraphrase_held_out",
    "framed_held_out",
    "question_held_out",
    "dialogue_held_out",
    "cloze_held_out",
    "choice_held_out",
    "few_shot",
    "prefix",
    "chat",
    "translated",
)
"""Every format but the user's own, which is asked where templates are given."""


class Options(BaseOptions):
    """Options of the probes."""

    formats: tuple[str, ...] = Field(
        DEFAULT_FORMATS,
        min_length=1,
        description="Formats to ask in: statement, paraphrase, framed, question, cloze, choice, "
        "choice_shot, capitalized, dashed, few_shot, prefix, chat, translated, own, and those that "
        "end in _held_out. One that does not apply is left out with the reason.",
    )
    retain_facts: int = Field(
        32, ge=0, le=100_000, description="Retain facts asked, at most, drawn by the seed."
    )
    wordings: int = Field(
        1, ge=1, le=64, description="Wordings of a format asked per fact, at most."
    )
    orders: Orders = Field(
        "rotations",
        description="Orders of the options in multiple choice: the 4 rotations, in which every "
        "option stands at every letter once, or all 24.",
    )
    templates: tuple[str, ...] = Field(
        (),
        max_length=32,
        description="Your own templates with {}, asked in the format `own`. On the form commas "
        "stand between them; one that holds a comma goes by the API.",
    )
    prefixes: tuple[str, ...] = Field(
        PREFIXES, max_length=32, description="What is put before the prompt in the format `prefix`."
    )
    generate: bool = Field(
        True, description="Also let the model answer freely and compare it word for word."
    )
    free_formats: tuple[str, ...] = Field(
        ("statement", "question"), description="Formats in which the model answers freely."
    )
    free_facts: int = Field(
        16,
        ge=1,
        le=100_000,
        description="Forget facts, and retain facts, that are answered freely, at most.",
    )
    batch_size: int = Field(64, ge=1, le=4096, description="Prompts per forward pass.")


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Ask forget and retain facts in every format, before and after."""
    check_formats(options.formats, "options.probes.formats")
    check_formats(options.free_formats, "options.probes.free_formats")
    formats = options.formats + (
        ("own",) if options.templates and "own" not in options.formats else ()
    )
    how = setting(
        selection,
        models.base,
        job.seed,
        templates=options.templates,
        prefixes=options.prefixes,
        wordings=options.wordings,
        orders=options.orders,
    )
    plan = plan_probe(selection, formats, how, options.retain_facts, job.seed)
    n_states = len(models.names)
    free = Freely(options.free_formats, options.free_facts) if options.generate else None

    def measure(model, state):  # type: ignore[no-untyped-def]
        start = models.names.index(state) / n_states
        share = (start, start + 1 / n_states)
        return probe(model, plan, options.batch_size, free, job.report, share, state)

    return probe_findings(
        "probes", TITLE, plan, models.measure(measure, of=(plan, options)), job.seed
    )
