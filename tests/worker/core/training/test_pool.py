"""Rows of tokens with their labels, padded into one pool, and every way that a pool is cut."""

from types import SimpleNamespace
from typing import Any

import torch
from tokenizers import processors

from tests.worker.core.models.families import make_model, make_tokenizer
from worker.contract.facts import Fact
from worker.core.training.pool import (
    IGNORED,
    Pool,
    Row,
    answer_row,
    fact_rows,
    pool,
    running_row,
    text_rows,
)

NONE = IGNORED
BOS, PAD, GOLF, GO = 0, 1, 259, 261
"""Of the test tokenizer, which has a token for each byte and four words."""


def spelled(text: str) -> tuple[int, ...]:
    """The tokens of a text of bytes alone, without the first one."""
    tokenizer = make_tokenizer()
    return tuple(tokenizer.convert_tokens_to_ids(c.replace(" ", "Ġ")) for c in text)


def test_an_answers_row_asks_each_of_its_tokens_once_after_all_before_it() -> None:
    like, a = spelled("I like"), spelled(" a")
    row = answer_row(make_model("gpt2"), "I like", " a go")
    assert row.ids == (BOS, *like, *a), "the answer's last token is asked and not put in"
    assert row.labels == (*[NONE] * 6, *a, GO)
    row = answer_row(make_model("gpt2"), "I like", " golf")
    assert (row.ids, row.labels) == ((BOS, *like), (*[NONE] * 6, GOLF))


def test_an_end_that_the_tokenizer_adds_is_not_put_between_prompt_and_answer() -> None:
    tokenizer = make_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <pad>", special_tokens=[("<pad>", PAD)]
    )
    tokenizer.eos_token = "<pad>"
    model: Any = SimpleNamespace(
        id="ends", tokenizer=tokenizer, end_id=PAD, has_bare_tokens=False, max_positions=64
    )
    assert answer_row(model, "I like", " golf") == Row(spelled("I like"), (*[NONE] * 5, GOLF))
    assert answer_row(model, "I", " golf") == Row(spelled("I"), (GOLF,))


def test_facts_are_asked_for_the_answers_that_are_given_or_for_their_targets() -> None:
    model = make_model("gpt2")
    facts = [
        Fact(id=s, subject=s, prompt="{} plays", target=t) for s, t in (("A", "golf"), ("B", "go"))
    ]
    asked = [answer_row(model, "A plays", " golf"), answer_row(model, "B plays", " go")]
    assert fact_rows(model, facts) == asked
    asked = [answer_row(model, "A plays", " go"), answer_row(model, "B plays", " ball")]
    assert fact_rows(model, facts, ["go", "ball"]) == asked


def test_running_text_predicts_each_next_token_up_to_the_context() -> None:
    assert running_row([7, 8, 9]) == Row((7, 8), (8, 9))
    a, b, c = spelled("abc")
    rows = text_rows(make_model("gpt2"), ["", "a", "abcdef"], 3)
    assert rows == [Row((BOS,), (a,)), Row((BOS, a, b), (a, b, c))], "nothing follows in an empty"


def test_rows_are_padded_on_the_left_and_their_positions_count_from_the_first_token() -> None:
    rows = [Row((5, 6, 7), (NONE, NONE, 8)), Row((5,), (6,)), Row((5, 6), (NONE, NONE))]
    made = pool(make_model("gpt2"), rows)
    assert made.all.ids.tolist() == [[5, 6, 7], [PAD, PAD, 5], [PAD, 5, 6]]
    assert made.all.mask.tolist() == [[1, 1, 1], [0, 0, 1], [0, 1, 1]]
    assert made.all.positions.tolist() == [[0, 1, 2], [0, 0, 0], [0, 0, 1]]
    assert made.all.labels.tolist() == [[NONE, NONE, 8], [NONE, NONE, 6], [NONE] * 3]
    assert made.all.index.tolist() == [0, 1, 2] and made.all.hidden is None
    assert (len(made), made.lengths.tolist()) == (3, [3, 1, 2])
    assert made.kept.tolist() == [1, 1, 1], "a row without a label keeps one position all the same"


def with_places() -> Pool:
    """Four rows of 4, 2, 1 and 3 tokens; the hidden state of a place says which it is."""
    rows = [Row(tuple(range(5, 5 + n)), (*[NONE] * (n - 1), 9)) for n in (4, 2, 1)]
    rows.append(Row((5, 6, 7), (NONE, 8, 9)))
    places = torch.arange(16.0).view(4, 4, 1)
    return pool(make_model("gpt2"), rows).with_hidden(places)


def test_a_batch_is_no_wider_than_its_longest_row_and_its_labels_than_they_reach() -> None:
    made = with_places()
    batch = made.batch(torch.tensor([2, 1]))
    assert batch.ids.tolist() == [[PAD, 5], [5, 6]]
    assert batch.mask.tolist() == [[0, 1], [1, 1]] and batch.positions.tolist() == [[0, 0], [0, 1]]
    assert batch.labels.tolist() == [[9], [9]] and (batch.keep, batch.n_labels) == (1, 2)
    assert batch.index.tolist() == [2, 1]
    assert batch.hidden is not None and batch.hidden[..., 0].tolist() == [[10, 11], [6, 7]]
    both = made.batch(torch.tensor([3, 1]))
    assert both.labels.tolist() == [[8, 9], [NONE, 9]] and (both.keep, both.n_labels) == (2, 3)


def test_a_cut_takes_rows_and_positions_and_leaves_the_labels_whole() -> None:
    whole = with_places().all
    part = whole.cut(slice(1, 3), slice(2, 4))
    assert part.ids.tolist() == [[5, 6], [PAD, 5]] and part.mask.tolist() == [[1, 1], [0, 1]]
    assert part.positions.tolist() == [[0, 1], [0, 0]] and part.index.tolist() == [1, 2]
    assert part.labels.tolist() == whole.labels[1:3].tolist()
    assert part.hidden is not None and part.hidden[..., 0].tolist() == [[6, 7], [10, 11]]
    other = torch.zeros(2, 2, 1)
    assert part.entering(other).hidden is other
    assert pool(make_model("gpt2"), [Row((5,), (6,))]).all.cut(slice(1), slice(1)).hidden is None


def test_all_rows_come_in_order_in_batches_of_a_size_and_the_first_alone() -> None:
    made = with_places()
    assert [batch.index.tolist() for batch in made.batches(3)] == [[0, 1, 2], [3]]
    assert made.first(4) is made and made.first(9) is made
    first = made.first(2)
    assert len(first) == 2 and first.kept.tolist() == [1, 1]
    assert first.all.ids.tolist() == made.all.ids[:2].tolist()
    assert first.batch(torch.tensor([1])).ids.tolist() == [[5, 6]]


def test_a_label_before_positions_that_ask_for_none_is_kept() -> None:
    rows = [Row((5, 6, 7, 8), (6, NONE, NONE, 9)), Row((5, 6), (NONE, 9))]
    batch = pool(make_model("gpt2"), rows).batch(torch.arange(2))
    assert batch.labels.tolist() == [[6, NONE, NONE, 9], [NONE, NONE, NONE, 9]]
    assert batch.n_labels == 3


def test_pieces_hold_every_row_once_and_no_more_predictions_than_asked() -> None:
    lengths = (3, 9, 2, 5, 4, 9)
    rows = [Row(tuple(range(5, 5 + n)), tuple(range(6, 6 + n))) for n in lengths]
    made = pool(make_model("gpt2"), rows)
    pieces = made.pieces(torch.tensor([0, 1, 2, 3, 4]), 10)
    assert [piece.index.tolist() for piece in pieces] == [[2, 0], [4, 3], [1]]
    assert [tuple(piece.labels.shape) for piece in pieces] == [(2, 3), (2, 5), (1, 9)]
    assert sum(piece.n_labels for piece in pieces) == 23


def test_a_row_longer_than_a_piece_may_be_stands_alone() -> None:
    rows = [Row((5, 6, 7), (6, 7, 8)), Row((5, 6, 7), (6, 7, 8))]
    pieces = pool(make_model("gpt2"), rows).pieces(torch.arange(2), 1)
    assert [piece.index.tolist() for piece in pieces] == [[0], [1]]
