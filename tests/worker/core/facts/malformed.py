"""Uploads that no honest program writes, several hundred: damaged, hostile, or without measure."""

import csv
import io
import json
import random
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from worker.core.facts._columns import FIELDS

HEAD = "subject,prompt,target\n"
GOOD = HEAD + "Ann,{} is,tall\nBob,{} was,small\n"
ROW: dict[str, object] = {"subject": "A", "prompt": "{} is", "target": "x"}
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


HTML = "</td><script>alert(1)</script><img src=x onerror=alert(1)>"
RIGHT_TO_LEFT = "\u202eevil\u202c \u05d0\u200f"
COMBINING = "Z" + "\u0301\u0327" * 200


def parquet(**columns: list[object]) -> bytes:
    return written(pa.table(columns))


def written(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def one_text_for_every_row(n: int = 5_000, is_list: bool = False) -> bytes:
    """A small Parquet file whose rows, or one row's list, share a text; one for each: 5 GB."""
    shared = pa.array(["A" * 1_000_000])
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int32()), shared)
    if not is_list:
        rest = {"prompt": ["{} is"] * n, "target": ["x"] * n}
        return written(pa.table({"subject": texts, **rest}))
    lists = pa.ListArray.from_arrays(pa.array([0, n], pa.int32()), texts)
    rest = {name: [value] for name, value in ROW.items()}
    return written(pa.table({**rest, "paraphrases": lists}))


def table(row: dict[str, object]) -> bytes:
    """A CSV of one row; what is no text is written as JSON."""
    text = io.StringIO()
    cells = [one if isinstance(one, str) else json.dumps(one) for one in row.values()]
    csv.writer(text).writerows([list(row), cells])
    return text.getvalue().encode()


def nested() -> Iterator[tuple[str, bytes]]:
    """JSON, and cells with lists, that go deeper than any reader can follow."""
    yield "deep.json", b'{"a":' * 50_000
    yield "closed.json", b"[" * 50_000 + b"]" * 50_000
    yield "deep.jsonl", b'{"subject": 1}\n' + b'{"a":' * 50_000
    row = b'[{"subject": "A", "prompt": "{} is", "target": "x", "paraphrases": '
    yield "cell.json", row + b"[" * 900 + b"]" * 900 + b"}]"
    yield "object.json", row + b'{"a":' * 900 + b"1" + b"}" * 900 + b"}]"
    for cell in ("[" * 20_000, "[" * 20_000 + "]" * 20_000, f"[{'-' * 20_000}1]"):
        yield "deep.csv", table({**ROW, "paraphrases": cell})
        yield "deep.csv", table({**ROW, "ripples": cell})
    for cell in ("['a'" + " " * 90_000, "['" * 40_000, f"[1{'+1' * 20_000}]", "['a'," * 15_000):
        yield "long.csv", table({**ROW, "neighbourhood": cell})


def unmeasured() -> Iterator[tuple[str, bytes]]:
    """Megabytes in one cell or name, and columns and records without number."""
    for field in ("subject", "prompt", "target", "id", "paraphrases", "translations"):
        row: dict[str, object] = {**ROW, field: "x" * 2_000_000}
        yield "huge.csv", table(row)
        yield "huge.json", json.dumps([row]).encode()
        yield "huge.parquet", parquet(**{name: [value] for name, value in row.items()})
    yield "name.csv", table({**ROW, "x" * 2_000_000: ""})
    wide: dict[str, object] = {f"c{i}": i for i in range(20_000)}
    yield "wide.json", json.dumps([wide]).encode()
    yield "wide.json", json.dumps([{**ROW, **wide}]).encode()
    yield "wide.csv", ",".join([*wide, "c19999"]).encode()
    yield "records.json", b"[" + b"[]," * 400_000 + b"[]]"
    yield "numbers.json", json.dumps([{**ROW, "id": 10**4_000}]).encode()
    yield "digits.json", b'[{"id": ' + b"9" * 100_000 + b"}]"


def half_characters() -> Iterator[tuple[str, bytes]]:
    """Lone surrogates, as each format can hold them."""
    for field in FIELDS:
        for half in ("\ud800", "a\udfff", ["\ud800"], [{"prompt": "\udfff"}]):
            yield "surrogate.json", json.dumps([{**ROW, field: half}]).encode()
    text = f"{HEAD}A\ud800,{{}} is,x\n"
    for encoding in ("utf-8", "utf-16", "utf-16-le", "utf-32"):
        yield "surrogate.csv", text.encode(encoding, "surrogatepass")
    yield (
        "surrogate.parquet",
        parquet(
            subject=["A\ud800".encode("utf-8", "surrogatepass")], prompt=["{} is"], target=["x"]
        ),
    )


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
    yield from nested()
    yield from unmeasured()
    yield from half_characters()
    for text in (HTML, NASTY[0], RIGHT_TO_LEFT, COMBINING):
        row = dict.fromkeys(FIELDS, text) | {"prompt": f"{text} {{}}", "edit_target": f"{text}."}
        row |= {"paraphrases": [text], "neighbourhood": [text]}
        row |= {"translations": [{"prompt": text, "language": text[:40]}]}
        row |= {"ripples": [{"kind": "entailed", "prompt": text, "target": text}]}
        yield "every.json", json.dumps([row]).encode()
        yield "every.csv", table(row)
        yield "every.parquet", parquet(**{name: [value] for name, value in row.items()})
    yield "nul.csv", b"subject\x00,prompt\n"
    yield "nul.json", b'[{"subject": "a\\u0000b", "prompt": "{} is", "target": "x"}]'
    for value in ("1", '"x"', "null", "[]", "{}", "[[[]]]", '{"facts": 3}', "[null]", "1e999"):
        yield "odd.json", value.encode()
    for field in FIELDS:
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
    yield "dictionary.parquet", one_text_for_every_row()
    yield "dictionary.parquet", one_text_for_every_row(is_list=True)
    yield "lists.parquet", parquet(subject=[["A"]], prompt=["{} is"], target=["x"])
    yield "bytes.parquet", parquet(subject=[b"\xff"], prompt=["{} is"], target=["x"])
    yield "numbers.parquet", parquet(subject=["A"], prompt=["{} is"], target=["x"], ripples=[5])
    yield "twice.parquet", written(pa.Table.from_arrays([pa.array(["A"])] * 2, names=["a", "a"]))
