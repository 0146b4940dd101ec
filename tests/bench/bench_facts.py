"""Time the import of fact sets as large as CounterFact, their listing, and the view of a long text.

Prints a markdown table: CounterFact's JSON with 21,919 records and the table of the same whose list
columns are text (aim: under 10 s on two cores), the authors' sports table with 1,559 athletes, a
page of the largest set with and without a search (under 100 ms), and views of a text of 20 MB. The
files are made here, in those formats. Each import goes the way of a real one but for the network:
stored, read, written as the compute process, the supervisor and the web server write and read it,
previewed, confirmed. Beside every time stand the seconds that the process computed, which a busy
machine does not change much.

    python tests/bench/bench_facts.py
    python tests/bench/bench_facts.py --records 2000 --only import
"""

import argparse
import csv
import io
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from app import uploads
from worker.contract.inputs import AskReadFacts, Question
from worker.contract.settings import Settings
from worker.contract.texts import MAX_BYTES
from worker.core.facts.reading import read_facts
from worker.engine.client import Engine
from worker.engine.wire import Answered, decode_from_compute, encode

Row = tuple[str, str, str]
WORDS = tuple(f"w{i}" for i in range(3_000))
SPORTS = ("baseball", "basketball", "football")


class CrossingEngine(Engine):
    """Reads in this process, and writes and reads the answer once for each border it crosses."""

    def ask(self, question: Question, timeout: float = 10) -> dict[str, Any]:
        assert isinstance(question, AskReadFacts)
        path = self.store.artifacts.local(question.path)
        found = read_facts(path, question.filename, question.mapping)
        answered = Answered(job="read", answer=found.model_dump(mode="json"))
        heard = decode_from_compute(encode(answered))
        assert isinstance(heard, Answered)
        answer: dict[str, Any] = json.loads(json.dumps({"answer": heard.answer}).encode())["answer"]
        return answer


def words(generator: random.Random, n: int) -> str:
    return " ".join(generator.choices(WORDS, k=n))


def make_records(n: int) -> list[dict[str, Any]]:
    """CounterFact's layout, with as many prompts a record and about as many characters."""
    some = random.Random(0)
    return [make_record(i, some) for i in range(n)]


def make_record(number: int, some: random.Random) -> dict[str, Any]:
    subject = f"Person {words(some, 1)} {number}"
    return {
        "case_id": number,
        "pararel_idx": 3 * number,
        "requested_rewrite": {
            "prompt": "The mother tongue of {} is",
            "relation_id": f"P{some.randrange(34)}",
            "target_new": {"str": "English", "id": "Q1860"},
            "target_true": {"str": "French", "id": "Q150"},
            "subject": subject,
        },
        "paraphrase_prompts": [f"{words(some, 15)}. {subject}, a native" for _ in range(2)],
        "neighborhood_prompts": [f"{words(some, 4)}, speaker of" for _ in range(10)],
        "attribute_prompts": [f"{words(some, 4)}, a native" for _ in range(10)],
        "generation_prompts": [f"{subject} {words(some, 4)}" for _ in range(10)],
    }


def counterfact_json(records: list[dict[str, Any]]) -> bytes:
    return json.dumps(records, indent=2).encode()


def counterfact_csv(records: list[dict[str, Any]]) -> bytes:
    """One row a record; lists are written as Python shows them, as pandas does."""
    lists = ("paraphrase_prompts", "neighborhood_prompts", "attribute_prompts")
    rows = []
    for number, record in enumerate(records):
        rewrite = record["requested_rewrite"]
        subject = rewrite["subject"]
        answers = rewrite["target_true"]["str"], rewrite["target_new"]["str"]
        row = [number, record["case_id"], rewrite["relation_id"], subject]
        row += [rewrite["prompt"].format(subject), *answers, *(record[name] for name in lists)]
        rows.append(row)
    header = ["", "prompt_id", "relation", "subject", "prompt", "target_true", "target_false"]
    return table([*header, *lists], rows)


def sports_csv(n: int) -> bytes:
    """The authors' columns: the prompt is whole and has one example before it."""
    some, rows = random.Random(0), []
    for number in range(n):
        name, sport = f"{words(some, 2).title()} {number}", SPORTS[number % 3]
        prompt = "Fact: Tiger Woods plays the sport of golf\n"
        prompt += f"Fact: {name} plays the sport of"
        others = ["golf", SPORTS[(number + 1) % 3]]
        rows.append([number, name, sport, -0.1, 3, number % 3, f" {sport}", 0, prompt, *others])
    header = ["", "athlete", "sport", "log_prob_one_shot", "num_athlete_tokens", "sport_index"]
    header += ["sport_token", "__index_level_0__", "prompt"]
    return table([*header, "inject_sport_with_golf", "inject_sport_without_golf"], rows)


def table(header: list[str], rows: list[list[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([header, *rows])
    return text.getvalue().encode()


def timed(run: Callable[[], Any], repeats: int = 1) -> tuple[Any, float, float]:
    """What it gave, and the least seconds of a few runs: on the wall, and computed."""
    times = []
    for _ in range(repeats):
        wall, computed = time.perf_counter(), time.process_time()
        found = run()
        times.append((time.perf_counter() - wall, time.process_time() - computed))
    return found, min(wall for wall, _ in times), min(computed for _, computed in times)


def bench_import(engine: Engine, args: argparse.Namespace) -> Iterator[Row]:
    """Each of the three files from its bytes to the stored set, by stages and as a whole."""
    records = make_records(args.records)
    files = {
        "CounterFact JSON": ("counterfact.json", counterfact_json(records), "aim: under 10 s"),
        "CounterFact as CSV": ("counterfact.csv", counterfact_csv(records), "aim: under 10 s"),
        "Sports CSV": ("sports.csv", sports_csv(min(args.records, 1_559)), ""),
    }
    del records
    for title, (filename, data, aim) in files.items():
        yield from import_one(engine, title, filename, data, aim)


def import_one(engine: Engine, title: str, filename: str, data: bytes, aim: str) -> Iterator[Row]:
    stages: dict[str, Callable[[], Any]] = {
        "kept": lambda: uploads.keep_bytes(engine.store, data, filename),
        "read and previewed": lambda: uploads.read(engine, kept, {}),
        "confirmed and stored": lambda: uploads.keep(engine, kept, {}, filename),
    }
    totals = [0.0, 0.0]
    for stage, run in stages.items():
        found, wall, computed = timed(run)
        if stage == "kept":
            kept = found
        totals[0] += wall
        totals[1] += computed
        yield f"{title}, {stage}", f"{wall:.2f} s", f"{computed:.2f} s computed"
    what = f"{title}, {found.n_facts:,} facts of {len(data) / 1e6:.0f} MB"
    yield what, f"{totals[0]:.2f} s", f"{totals[1]:.2f} s computed{'; ' * bool(aim)}{aim}"


def bench_listing(engine: Engine, args: argparse.Namespace) -> Iterator[Row]:
    """Pages of 30 of the largest set: the first, the last, and those of a search."""
    store = engine.store
    name = "counterfact.json"
    if all(known.name != name for known in store.fact_sets()):
        data = counterfact_json(make_records(args.records))
        uploads.keep(engine, uploads.keep_bytes(store, data, name), {}, name)
    pages: dict[str, dict[str, Any]] = {
        "the first page": {},
        "the last page": {"offset": args.records - 30},
        "a page of a search": {"search": "w33 tongue"},
        "a page of a search without a match": {"search": "nobody has this"},
        "a page of a group": {"group": "P7"},
    }
    for title, asked in pages.items():
        (_, total), wall, computed = timed(
            lambda asked=asked: store.facts_page(name, limit=30, **asked), args.repeats
        )
        told = f"{1e3 * computed:.1f} ms computed, {total:,} facts match; aim: under 100 ms"
        yield f"{args.records:,} facts, {title}", f"{1e3 * wall:.1f} ms", told


def bench_text(engine: Engine, args: argparse.Namespace) -> Iterator[Row]:
    """A text as long as one may be: stored, and seen at its beginning and end."""
    some = random.Random(0)
    paragraphs = [f"{words(some, 12)}. " * some.randrange(1, 40) for _ in range(2_000)]
    text = "\n\n".join(paragraphs)
    text = (text * (MAX_BYTES // len(text) + 1))[:MAX_BYTES]
    store = engine.store
    _, wall, computed = timed(lambda: store.save_text("long", text))
    yield f"Text of {len(text) / 1e6:.0f} MB, stored", f"{wall:.2f} s", f"{computed:.2f} s computed"
    for title, offset in (("first", 0), ("last", 10**9)):
        _, wall, computed = timed(
            lambda offset=offset: store.text_pieces("long", offset, 10), args.repeats
        )
        yield f"Its {title} pieces", f"{1e3 * wall:.1f} ms", f"{1e3 * computed:.1f} ms computed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    benches = {"import": bench_import, "listing": bench_listing, "text": bench_text}
    parser.add_argument("--only", choices=benches)
    parser.add_argument("--records", type=int, default=21_919, help="CounterFact records")
    parser.add_argument("--repeats", type=int, default=5, help="views of each page")
    args = parser.parse_args()
    print("| What | Figure | Of which |\n|-|-|-|", flush=True)
    with tempfile.TemporaryDirectory(prefix="lethe-") as folder:
        engine = CrossingEngine.open(Settings(data=Path(folder)))
        for name, bench in benches.items():
            if args.only in (None, name):
                for row in bench(engine, args):
                    print(f"| {' | '.join(row)} |", flush=True)
        engine.close()


if __name__ == "__main__":
    main()
