"""Two hundred uploads that no honest program writes: each is a sentence or a refused row."""

import io
import json
import random
import resource
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from worker.contract.errors import UserError
from worker.core.facts._rows import NAMES
from worker.core.facts.reading import read_facts

HEAD = "subject,prompt,target\n"
GOOD = HEAD + "Ann,{} is,tall\nBob,{} was,small\n"
NASTY = (
    "=cmd|' /C calc'!A0",
    "<script>alert(1)</script>",
    "\u202eevil\u202c",
    "e\u0301\u0301\u0301",
    "\ufdd0",
    "'; DROP TABLE facts; --",
    "{}{}",
    "{0.__class__}",
    "%s%n",
    "\\",
    "\u200b",
    "𝕏" * 50,
    "\r\r",
    "null",
    "NaN",
    "  ",
)


def parquet(**columns: list[object]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue()


def uploads() -> Iterator[tuple[str, bytes]]:
    generator = random.Random(0)
    whole = GOOD.encode()
    for size in range(0, len(whole), 2):
        yield "cut.csv", whole[:size]
    for encoding in ("utf-16-le", "utf-16-be", "utf-32", "cp1252", "shift_jis", "utf-7"):
        yield "encoded.csv", (GOOD + "Zoë,{} is,日\n").encode(encoding, "replace")
    for nasty in NASTY:
        yield "cell.csv", f'{HEAD}"{nasty}","{{}} is",x\n'.encode()
        yield "target.csv", f'{HEAD}A,"{{}} is","{nasty}"\n'.encode()
        yield "prompt.csv", f'{HEAD}A,"{nasty}",x\n'.encode()
        yield "header.csv", f'"{nasty}",b\n1,2\n'.encode()
        yield "cell.json", json.dumps([{"subject": nasty, "prompt": nasty, "target": "x"}]).encode()
    yield "huge.csv", f"{HEAD}{'x' * 2_000_000},{{}} is,y\n".encode()
    yield "nul.csv", b"subject\x00,prompt\n"
    yield "nul.json", b'[{"subject": "a\\u0000b", "prompt": "{} is", "target": "x"}]'
    yield "surrogate.json", b'[{"subject": "\\ud800", "prompt": "{} is", "target": "x"}]'
    yield "deep.json", b'{"a":' * 50_000
    yield (
        "deep.csv",
        HEAD.replace("target", "target,paraphrases").encode()
        + (b'A,{} is,x,"' + b"[" * 20_000 + b'"\n'),
    )
    yield "wide.json", json.dumps([{f"c{i}": i for i in range(20_000)}]).encode()
    for value in ("1", '"x"', "null", "[]", "{}", "[[[]]]", '{"facts": 3}', "[null]", "1e999"):
        yield "odd.json", value.encode()
    for field in NAMES:
        for odd in (5, True, 1e300, {"a": 1}, [[5]], [None], {"str": [1]}, [{"prompt": []}]):
            row = {"subject": "A", "prompt": "{} is", "target": "x", field: odd}
            yield "types.json", json.dumps([row, {"requested_rewrite": row}]).encode()
    for _ in range(30):
        yield "noise.csv", generator.randbytes(500)
        yield "noise.parquet", b"PAR1" + generator.randbytes(300) + b"PAR1"
    good = parquet(subject=["A"], prompt=["{} is"], target=["x"])
    for size in range(0, len(good), max(1, len(good) // 15)):
        yield "cut.parquet", good[:size]
    yield "bomb.parquet", parquet(subject=["A" * 1_000] * 190_000, prompt=["{}"] * 190_000)
    yield "lists.parquet", parquet(subject=[["A"]], prompt=["{} is"], target=["x"])
    yield "bytes.parquet", parquet(subject=[b"\xff"], prompt=["{} is"], target=["x"])
    yield "numbers.parquet", parquet(subject=["A"], prompt=["{} is"], target=["x"], ripples=[5])
    twice = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array(["A"])] * 2, names=["a", "a"]), twice)
    yield "twice.parquet", twice.getvalue()


def test_two_hundred_malformed_uploads_are_each_answered_by_a_sentence(tmp_path: Path) -> None:
    answered = 0
    path = tmp_path / "upload"
    for name, data in uploads():
        path.write_bytes(data)
        try:
            found = read_facts(path, name, {})
        except UserError as error:
            assert error.message.endswith("."), (name, error.message)
            assert len(error.message) < 800, (name, error.message)
        else:
            assert found.facts, name
            assert all(row.reason for row in found.refused), name
        answered += 1
    assert answered >= 200


def test_a_table_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(parquet(subject=["A" * 2_000] * 190_000, prompt=["{} is"] * 190_000))
    assert path.stat().st_size < 5_000_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="unpacks to more than"):
        read_facts(path, "bomb.parquet", {"target": "=x"})
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 800_000  # KiB


def test_a_parquet_table_of_facts_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(
        parquet(subject=["A"], prompt=["{} is"], target=["Ö".encode()], paraphrases=[["A was"]])
    )
    (fact,) = read_facts(path, "t.parquet", {}).facts
    assert (fact.target, fact.paraphrases) == ("Ö", ("A was",))
