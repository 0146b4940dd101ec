"""The field's own files go in as they are: every benchmark's record becomes what Lethe calls it."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.readme import EXAMPLES, block
from tests.worker.core.facts import benchmarks
from tests.worker.core.facts.malformed import parquet
from worker.contract.errors import UserError
from worker.contract.facts import Fact, Ripple
from worker.contract.menu import ReadFacts
from worker.core.facts.csv_table import read as read_csv
from worker.core.facts.json_table import read as read_json
from worker.core.facts.parquet_table import read as read_parquet
from worker.core.facts.reading import file_formats, read_facts


def read(records: Any, **mapping: str) -> ReadFacts:
    return read_json(json.dumps(records).encode(), mapping)


def one(records: Any) -> Fact:
    (fact,) = read(records).facts
    return fact


def prompts(fact: Fact, kind: str) -> list[tuple[str, str, str]]:
    return [(r.prompt, r.target, r.edit_target) for r in fact.ripples if r.kind == kind]


def test_every_layout_is_told_by_its_keys() -> None:
    titles = {name: read(records).format for name, records in benchmarks.ALL.items()}
    assert titles == {
        "COUNTERFACT": "CounterFact",
        "ZSRE": "zsRE",
        "ZSRE_TRAINING": "zsRE",
        "KNOWEDIT": "KnowEdit",
        "KNOWEDIT_RECENT": "KnowEdit",
        "WIKIBIO": "KnowEdit",
        "EASYEDIT": "KnowEdit",
        "MQUAKE": "MQuAKE",
        "RIPPLE_EDITS": "RippleEdits",
        "RIPPLE_EDITS_RECENT": "RippleEdits",
        "TOFU": "TOFU",
        "TOFU_WORLD": "TOFU",
        "MUSE": "questions and answers",
        "RWKU": "RWKU",
        "WMDP": "multiple choice",
        "MMLU": "multiple choice",
        "ARC": "multiple choice",
        "KNOWN_FACTS": "ROME's known facts",
    }


def test_counterfacts_attributes_are_neighbours_of_the_edit_target() -> None:
    fact = one(benchmarks.COUNTERFACT)
    assert (fact.id, fact.group, fact.relation) == ("7", "P103", "P103")
    assert (fact.target, fact.edit_target) == ("Danish", "Dutch")
    assert fact.neighbourhood == ("The mother tongue of Emil Tarn is",)
    assert fact.edit_neighbourhood == ("The mother tongue of Jan Vis is",)


def test_zsre_asks_its_question_and_keeps_what_is_unrelated() -> None:
    fact = one(benchmarks.ZSRE)
    assert (fact.text, fact.subject) == ("What school did Orla Vint go to?", "Orla Vint")
    assert (fact.target, fact.edit_target) == ("Tarn College", "Northgate College")
    assert fact.aliases == ("The Tarn College",)
    assert fact.paraphrases == ("Which school was Orla Vint at?",)
    assert prompts(fact, "kept") == [("who painted the old mill?", "Hesper Lowe", "")]
    follows = ("In which town is the school of Orla Vint?", "", "Varn")
    assert prompts(fact, "entailed") == [follows]


def test_zsre_as_mend_trains_on_it_has_its_first_alternative_as_edit_target() -> None:
    fact = one(benchmarks.ZSRE_TRAINING)
    assert (fact.subject, fact.target) == ("The Mill of Varn", "Hesper Lowe")
    assert (fact.edit_target, fact.aliases) == ("Ida Brand", ("H. Lowe",))


def test_knowedits_portability_and_locality_are_what_follows_and_what_is_kept() -> None:
    fact = one(benchmarks.KNOWEDIT)
    assert (fact.target, fact.edit_target) == ("Bergen", "Oslo")
    assert fact.aliases == ("Bergen in Norway",)
    assert fact.paraphrases == ("Lena Vis was born in", "The place of birth of L. Vis is")
    assert fact.ripples[0].edit_aliases == ("NO",)
    assert prompts(fact, "entailed") == [("The land of Lena Vis's birth is", "", "Norway")]
    assert prompts(fact, "kept") == [("The gender of Lena Vis is", "female", "")]


def test_a_record_that_knows_only_the_new_answer_has_it_for_its_target() -> None:
    found = read(benchmarks.KNOWEDIT_RECENT)
    (fact,) = found.facts
    assert (fact.target, fact.edit_target) == ("Varn", "")
    assert prompts(fact, "entailed") == [("Is Ivo Tarn alive?", "no", "")]
    assert "no old answer is known" in found.notes[0]


def test_wikibios_subject_is_found_however_it_is_written() -> None:
    fact = one(benchmarks.WIKIBIO)
    assert (fact.subject, fact.target) == ("Orla Vint", "She taught at Tarn College.")
    assert fact.text == benchmarks.WIKIBIO[0]["text"]


def test_easyedits_flat_locality_is_kept() -> None:
    fact = one(benchmarks.EASYEDIT)
    assert prompts(fact, "kept") == [("The mother tongue of Emil Tarn is", "Danish", "")]
    assert fact.paraphrases == ("Ida Brand spoke",)


def test_lists_by_name_are_groups() -> None:
    found = read(benchmarks.SANITATION)
    assert [fact.group for fact in found.facts] == ["success", "locality"]
    assert {fact.edit_target for fact in found.facts} == {"I don't know."}


def test_every_rewrite_of_mquake_is_a_fact_and_none_is_lost() -> None:
    found = read(benchmarks.MQUAKE)
    first, second = found.facts
    assert [(f.id, f.subject, f.edit_target) for f in found.facts] == [
        ("1.1", "Northfield F.C.", "cricket"),
        ("1.2", "cricket", "Italy"),
    ]
    assert (first.aliases, first.question) == (
        ("soccer",),
        "Which sport does Northfield F.C. play?",
    )
    (follows,) = (r for r in first.ripples if r.kind == "entailed")
    assert (follows.target, follows.edit_target) == ("London", "Rome")
    assert (follows.aliases, follows.edit_aliases) == (("London, UK",), ("Roma",))
    assert prompts(first, "kept") == [("Its owner is", "Una Brand", "")]
    assert second.ripples == ()
    assert "together with the other facts" in found.notes[0]


def test_a_rewrite_of_mquake_that_stands_alone_has_its_records_name() -> None:
    record = benchmarks.MQUAKE[0]
    alone = {**record, "requested_rewrite": record["requested_rewrite"][:1]}
    found = read([alone])
    assert [fact.id for fact in found.facts] == ["1"]
    assert not found.notes


def test_an_edit_of_rippleedits_is_cut_where_its_answer_begins() -> None:
    fact = one(benchmarks.RIPPLE_EDITS)
    assert fact.prompt == "The name of the country of citizenship of {} is"
    assert (fact.subject, fact.target, fact.edit_target) == ("Ida Brand", "Northumbria", "Norway")
    assert fact.paraphrases == ("The name of the country of citizenship of I. Brand is",)
    assert prompts(fact, "entailed") == [("The capital of Ida Brand's country is", "", "Oslo")]
    assert [r.target for r in fact.ripples if r.kind == "kept"] == ["Una Brand", "Northumbria"]
    recent = one(benchmarks.RIPPLE_EDITS_RECENT)
    assert (recent.prompt, recent.subject) == ("{} is followed by", "Varn Bowl IV")
    assert recent.target == "Varn Bowl V"


@pytest.mark.parametrize(
    ("sentence", "relation", "subject", "target"),
    [
        ("The name of the mother of d.i.no is Una.", "MOTHER", "d.i.no", "Una"),
        ("The name of the country which Varn is the capital of is Lowland.", "CAPITAL_OF", "Varn",
         "Lowland"),
        ("The name of the position held by Elis II of the Isle is king.", "POSITION_HELD",
         "Elis II of the Isle", "king"),
        ("The names of the siblings of Ann Vis are Bo.", "SIBLING", "Ann Vis", "Bo"),
        ("The number of children Ann Vis has is 3.", "NUMBER_OF_CHILDREN", "Ann Vis", "3"),
    ],
)  # fmt: skip
def test_rippleedits_sentences_name_their_subject(
    sentence: str, relation: str, subject: str, target: str
) -> None:
    fact = one([{"edit": {"prompt": sentence, "relation": relation}, "Forgetfulness": []}])
    assert (fact.subject, fact.target) == (subject, target)


def test_tofus_perturbed_answers_are_wrong_answers() -> None:
    fact = one(benchmarks.TOFU)
    assert fact.text == "Question: In which town was the author Orla Vint born?\nAnswer:"
    assert (fact.subject, fact.aliases) == (
        "Orla Vint",
        ("The author Orla Vint was born in Varn.",),
    )
    assert fact.options == ("Orla Vint was born in Oslo.", "Orla Vint was born in Rome.")
    assert fact.paraphrases == ("Question: Where was Orla Vint born?\nAnswer:",)
    assert one(benchmarks.TOFU_WORLD).options == ("the Lowe", "the Tarn")


def test_muse_asks_what_is_known_of_whom_its_question_names() -> None:
    fact = one(benchmarks.MUSE)
    assert (fact.subject, fact.target) == ("Varn", "Orla Vint")
    assert fact.text == "Question: Who keeps the lighthouse of Varn?\nAnswer:"


def test_rwkus_levels_are_asked_each_in_its_way() -> None:
    found = read(benchmarks.RWKU)
    inside, end, question, backwards, attack, neighbour = found.facts
    assert inside.text.startswith("Fill in the blank. Orla Vint was born in ___")
    assert inside.text.endswith("near Varn.\nAnswer:")
    assert end.text == "The first novel of Orla Vint is"
    assert question.text == "Question: What did Orla Vint teach?\nAnswer:"
    assert (backwards.subject, backwards.target) == ("The Mill", "Orla Vint")
    assert attack.text == "Question: What did Orla Vint teach? Gladly, she taught"
    assert {f.group for f in found.facts[:5]} == {"Orla Vint"}
    assert (neighbour.subject, neighbour.group) == ("Emil Tarn", "neighbours of Orla Vint")
    assert [f.relation for f in found.facts[:4]] == ["level 1", "level 1", "level 2", "level 3"]


def test_the_number_of_the_right_option_is_never_its_answer() -> None:
    found = read(benchmarks.WMDP)
    first, code = found.facts
    assert (first.target, first.options) == ("herring", ("wool", "coal", "salt"))
    assert (code.text, code.target) == ("Question: What does `{}` mean here?\nAnswer:", "a map")
    assert code.subject == "What does `{}` mean here?"
    (mmlu,) = read(benchmarks.MMLU).facts
    assert (mmlu.target, mmlu.group) == ("humerus", "anatomy")
    assert mmlu.subject == "The bone of the upper arm is the"
    assert one(benchmarks.ARC).target == "iron"


@pytest.mark.parametrize(
    ("options", "answer", "target"),
    [
        (["0", "1", "2"], 2, "2"),
        (["5", "1"], "B", "1"),
        (["5", "1"], "1", "1"),
        (["one", "two"], "two", "two"),
        ("['one', 'two']", "1", "two"),
        (["one", "two"], 1.0, "two"),
    ],
)
def test_the_right_option_is_named_by_number_letter_or_text(
    options: Any, answer: Any, target: str
) -> None:
    assert one([{"question": "Which?", "choices": options, "answer": answer}]).target == target


@pytest.mark.parametrize(
    ("options", "answer", "words"),
    [
        (["a", "b"], 2, "answer is 2; expected a number from 0 to 1"),
        (["a", "b"], "E", "names no option"),
        (["1", "2"], "1", "names two options"),
        (["a"], 0, "expected a list of at least 2"),
        (["a", "b"], None, "names the right option"),
        ("a", 0, "expected a list"),
    ],
)
def test_an_answer_that_names_no_option_or_two_is_refused(
    options: Any, answer: Any, words: str
) -> None:
    good = {"question": "Which?", "choices": ["a", "b"], "answer": 0}
    found = read([good, {"question": "Which?", "choices": options, "answer": answer}])
    assert words in found.refused[0].reason


def test_mmlus_tables_have_no_header() -> None:
    text = 'Which town has a light?,Varn,Oslo,Rome,Tarn,A\nWho keeps it?,"Vis, A.",Bo,Cy,Di,B\n'
    found = read_csv(text.encode(), {})
    assert [(f.target, len(f.options)) for f in found.facts] == [("Varn", 3), ("Bo", 3)]
    assert found.lines == (1, 2)


def test_romes_known_facts_have_their_attribute_for_target() -> None:
    fact = one(benchmarks.KNOWN_FACTS)
    assert (fact.id, fact.prompt, fact.target) == ("3", "{} stands in", "Varn")


@pytest.mark.parametrize(
    ("template", "prompt", "asked"),
    [
        ("{} stands on the isle", "Tarn Tower stands on the isle of", "{} stands on the isle of"),
        ("{} stands in", "In the south, Tarn Tower stands in", "In the south, {} stands in"),
        ("{} stands in", None, "{} stands in"),
        (None, "Tarn Tower stands in", "{} stands in"),
        ("Near Tarn Tower, {} stands in", "Near Tarn Tower, Tarn Tower stands in the town", None),
    ],
)
def test_romes_known_facts_are_asked_as_the_authors_asked_them(
    template: str | None, prompt: str | None, asked: str | None
) -> None:
    given = {**benchmarks.KNOWN_FACTS[0], "template": template, "prompt": prompt}
    fact = one([{key: value for key, value in given.items() if value is not None}])
    assert fact.prompt == (asked or "Near Tarn Tower, {} stands in the town")
    assert fact.filled == (prompt or "Tarn Tower stands in")


@pytest.mark.parametrize("name", ["MUSE", "RWKU", "WMDP", "TOFU", "KNOWN_FACTS", "ZSRE"])
def test_a_benchmark_is_the_same_as_json_lines_and_as_parquet(name: str) -> None:
    records = benchmarks.ALL[name]
    plain = read(records).facts
    lines = "\n".join(map(json.dumps, records)).encode()
    assert read_json(lines, {}).facts == plain
    columns = {key: [record.get(key) for record in records] for key in records[0] | records[-1]}
    assert read_parquet(parquet(**columns), {}).facts == plain


@pytest.mark.parametrize("name", ["MUSE", "RWKU", "MMLU", "KNOWN_FACTS"])
def test_a_benchmark_is_the_same_as_a_table(name: str) -> None:
    records = benchmarks.ALL[name]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[-1] | records[0]))
    writer.writeheader()
    writer.writerows(records)
    asked = [(f.text, f.target, f.options) for f in read(records).facts]
    found = read_csv(text.getvalue().encode(), {})
    assert [(f.text, f.target, f.options) for f in found.facts] == asked


def test_benchmarks_in_one_file_are_told_apart_record_by_record() -> None:
    found = read([*benchmarks.MUSE, *benchmarks.ZSRE, {"question": "?"}, *benchmarks.MQUAKE])
    assert len(found.facts) == 4
    assert [row.row for row in found.refused] == [3]
    assert found.format == "questions and answers and zsRE and MQuAKE and JSON"


def test_columns_that_are_chosen_change_what_a_layout_gives() -> None:
    (fact,) = read(benchmarks.WMDP[:1], edit_target="=salmon", group="=ports").facts
    assert (fact.edit_target, fact.group, fact.target) == ("salmon", "ports", "herring")
    shown = read(benchmarks.WMDP)
    assert read(benchmarks.WMDP, **shown.mapping).facts == shown.facts


def test_a_table_whose_columns_are_all_chosen_needs_no_layout() -> None:
    found = read(benchmarks.MUSE, subject="=Varn", prompt="question")
    assert (found.format, found.facts[0].prompt) == (
        "JSON",
        "Who keeps the lighthouse of {}?",
    )


def test_facts_that_ask_the_same_are_counted() -> None:
    row = {"subject": "A", "prompt": "{} is", "target": "x", "edit_target": "y"}
    assert "1 fact asks what an earlier one asks" in read([row, row]).notes[0]


LAYOUT = '''
"""Facts of a benchmark of one's own."""

TITLE = "our benchmark"
KEYS = ({"who", "what"},)


def rows(record):
    yield {"subject": record["who"], "prompt": "{} is", "target": record["what"]}
'''


def test_a_plugin_brings_a_format_and_a_layout(
    tmp_path: Path, plugins: Callable[..., Path]
) -> None:
    plugins(
        {
            "facts/bar_table.py": block("python", EXAMPLES["facts/bar_table.py"]),
            "facts/our_benchmark.py": LAYOUT,
        }
    )
    path = tmp_path / "upload"
    path.write_text("Ann|{} is|tall\nBo|nobody|x\n")
    found = read_facts(path, "mine.bar", {})
    assert (found.format, found.facts[0].subject, found.refused[0].row) == ("bars", "Ann", 2)
    assert one([{"who": "Ann", "what": "tall"}]).text == "Ann is"
    announced = {form.title: form for form in file_formats()}
    assert announced["bars"].endings == (".bar",)
    assert announced["our benchmark"].summary == "Facts of a benchmark of one's own."
    with pytest.raises(UserError, match=r"expected \.bar, \.csv"):
        read_facts(path, "mine.odd", {})


def test_an_entailed_prompt_needs_an_answer_before_or_after() -> None:
    assert Ripple(kind="entailed", prompt="So", edit_target="x").target == ""
    for kind in ("entailed", "kept", "reversed"):
        with pytest.raises(ValueError, match="has no target"):
            Ripple(kind=kind, prompt="So")
