"""The two files of ordinary English: large enough, varied, and with nothing in common."""

import re
from pathlib import Path

import worker.core.asking.ordinary as ordinary

FOLDER = Path(ordinary.__file__).parent
TRAINING, EVALUATION = (
    (FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    for name in ("training", "evaluation")
)


def test_each_file_holds_sixty_kilobytes_in_passages_of_a_few_sentences() -> None:
    for passages in (TRAINING, EVALUATION):
        assert sum(len(passage.encode()) + 1 for passage in passages) >= 60_000
        assert all(100 < len(passage) < 600 for passage in passages)


def test_the_two_files_share_no_passage_and_no_sentence() -> None:
    first, second = (
        {sentence for passage in passages for sentence in re.split(r"(?<=[.?!]) ", passage)}
        for passages in (TRAINING, EVALUATION)
    )
    assert {sentence for sentence in first & second if len(sentence) > 20} == set()


def test_passages_begin_in_many_ways() -> None:
    for passages in (TRAINING, EVALUATION):
        assert len({passage.split()[0] for passage in passages}) > 60
