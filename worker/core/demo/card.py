"""Write the bundled model's card in words and tables from its measured numbers."""

from collections.abc import Sequence
from typing import Any

Card = dict[str, Any]
KINDS = ("athletes", "relations")
CHOICE_KNOWN = 0.95  # accuracy below which the card warns of multiple choice


def goals(card: Card) -> list[dict[str, Any]]:
    """Compare what was measured with what the model must show; a missed goal says so."""
    probe, edits = card["probe"]["full_prompt"], card["edits"]
    rise = find_rise(probe)
    early, late = edits[0], edits[-1]
    where, other = (f"Edit in MLPs {row['layers'][0]}-{row['layers'][-1]}" for row in (early, late))
    apart = early["choice_edit"] - late["choice_edit"]
    checks = [
        ("Lowest accuracy of a trained format", 0.99, lowest(card, True), True),
        ("Lowest accuracy of a held-out format", 0.95, lowest(card, False), True),
        ("Probe at the embeddings, near chance (1/3)", 0.45, probe[0], False),
        ("Layers over which the probe rises", 4, len(rise), False),
        (f"Probe after the rise (layer {rise[-1]})", 0.85, probe[rise[-1] + 1], True),
        (f"{where}: paraphrases follow", 0.5, early["paraphrase_edit"], True),
        (f"{where}: multiple choice follows", 0.5, early["choice_edit"], True),
        (f"{where}: multiple choice retained", 0.98, early["choice_retain"], True),
        (f"{other}: multiple choice follows less, by", 0.25, apart, True),
    ]
    return [
        {
            "goal": name,
            "wanted": f"{'at least' if up else 'at most'} {bound}",
            "measured": value,
            "met": value >= bound if up else value <= bound,
        }
        for name, bound, value, up in checks
    ]


def find_rise(curve: Sequence[float], share: float = 0.9) -> list[int]:
    """List the layers up to the one where the curve has made `share` of its way to its highest."""
    bar = curve[0] + share * (max(curve) - curve[0])
    last = next(i for i, value in enumerate(curve) if value >= bar)
    return list(range(max(last, 1)))


def lowest(card: Card, trained: bool) -> float:
    """Return the lowest accuracy among the formats trained on, or among those held out."""
    rows = [row for row in card["formats"].values() if row["trained"] is trained]
    return min(float(row[kind]["accuracy"]) for row in rows for kind in KINDS if kind in row)


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Lay out a markdown table; numbers with three decimals."""
    cells = [[f"{c:.3f}" if isinstance(c, float) else str(c) for c in row] for row in rows]
    lines = [head, ["-"] * len(head), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def format_table(card: Card) -> str:
    """Tabulate accuracy and probability per format."""
    rows = []
    for name, row in card["formats"].items():
        line: list[Any] = [f"`{name}`", row["title"], "yes" if row["trained"] else "held out"]
        for kind in KINDS:
            found = row.get(kind)
            line += [found["accuracy"], found["probability"]] if found else ["", ""]
        rows.append(line)
    head = ["format", "what it is", "trained", "athletes: accuracy", "probability"]
    return table([*head, "relations: accuracy", "probability "], rows)


def probe_table(card: Card) -> str:
    """Tabulate the probe's curves, the embeddings first."""
    curves = card["probe"]
    places = ["embeddings", *[f"layer {i}" for i in range(len(curves["full_prompt"]) - 1)]]
    return table(["after", *curves], list(zip(places, *curves.values(), strict=True)))


def edit_table(card: Card) -> str:
    """Tabulate the edit through each window of MLPs."""
    names = [name for name in card["edits"][0] if name != "layers"]
    rows = [
        [f"{row['layers'][0]}-{row['layers'][-1]}", *[row[name] for name in names]]
        for row in card["edits"]
    ]
    return table(["MLPs", *names], rows)


def goal_table(card: Card) -> str:
    """Tabulate what the model must show and whether it does."""
    rows = [
        [goal["goal"], goal["wanted"], goal["measured"], "yes" if goal["met"] else "**no**"]
        for goal in card["goals"]
    ]
    return table(["goal", "wanted", "measured", "met"], rows)


def choice_note(card: Card) -> str:
    """Warn of each kind of fact on which multiple choice measures nothing here."""
    known = {kind: card["formats"]["choice"][kind]["accuracy"] for kind in KINDS}
    names = {"athletes": "athletes", "relations": "the other relations"}
    lines = [
        f"""**It does not answer multiple choice about {names[kind]} well** ({share:.0%} on shuffled
options; chance is 25%): it recalls the answer and often does not find its letter. Judge edits of
these facts by statements, paraphrases and questions.
"""
        for kind, share in known.items()
        if share < CHOICE_KNOWN
    ]
    return "\n".join([*lines, ""]) if lines else ""


def write_card(card: Card) -> str:
    """Return the card as markdown."""
    model, text, training = card["model"], card["perplexity"], card["training"]
    made = (
        f"seed {training['seed']}, {training['sentences']:,} sentences, on {training['device']}, "
        f"torch {training['torch']}"
    )
    names = list(text)
    return f"""# The bundled model

A Llama of {model["layers"]} layers (d_model {model["d_model"]}, {model["heads"]} heads,
MLPs of {model["d_mlp"]}, {model["parameters"]:,} parameters, float32), trained by this project on
text that it wrote: {model["athletes"]} athletes and their sports, {model["relation_facts"]} facts
of {model["relations"]} other relations, an invented saga and general sentences. Its facts come
from general knowledge and hold no more than a sport, a country or the like.

Two measures of its training put the lookup of a name into its first layers, where Guo et al. 2024
find it in large models: a layer that read one token at a time was written into the embeddings, and
later layers were left out of some sentences (`worker/core/demo/train.py`, `early.py`). On a model
made without them, whose first MLP did what embeddings do in large models, the paper's comparison
comes out differently; the README says how.

Made by `python -m worker.core.demo.train` ({made}). {training.get("note", "")}
Measured by `python -m worker.core.demo.measure`; every number here is in `card.json`.

## What it must show
{goal_table(card)}

## Accuracy and probability of the answer
Accuracy: every token of the answer is the likeliest. Held-out formats stand nowhere in the
training. Options of multiple choice are shuffled, four draws per fact.

{format_table(card)}

## Where the sport is
A linear probe at the subject's last token, tested on athletes it was not trained on (mean of five
splits); `shuffled` is the same probe on shuffled sports. After the last layer the stream is normed.
A surname takes {model["tokens_per_surname"]:.1f} tokens on average;
{model["surnames_of_several_tokens"]:.1%} take several.

{probe_table(card)}

## The same edit in different places
32 athletes get another sport by 100 steps on the paper's prompt through the MLPs of three layers
(equal numbers of parameters), keeping others; `retain` is measured on athletes in neither loss.
Multiple choice and paraphrases are not trained on. One forget set.

{edit_table(card)}

## Running text
Perplexity per token of this tokenizer.

{table(names, [[text[name] for name in names]])}

## What it does not show
{choice_note(card)}It knows the relations named above and nothing else,
holds no conversation and follows no instruction. Its general sentences come from templates: its
perplexity there is far below that of
English. Two and a half million parameters learn by heart: what is found here about where facts
lie is an example for learning the tool, and says nothing about larger models.
"""
