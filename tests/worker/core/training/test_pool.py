import torch

from tests.worker.core.models.families import make_model
from worker.core.training.pool import IGNORED, Row, pool

NONE = IGNORED


def test_a_label_before_positions_that_ask_for_none_is_kept():
    rows = [Row((5, 6, 7, 8), (6, NONE, NONE, 9)), Row((5, 6), (NONE, 9))]
    batch = pool(make_model("gpt2"), rows).batch(torch.arange(2))
    assert batch.labels.tolist() == [[6, NONE, NONE, 9], [NONE, NONE, NONE, 9]]
    assert batch.n_labels == 3


def test_pieces_hold_every_row_once_and_no_more_predictions_than_asked():
    lengths = (3, 9, 2, 5, 4, 9)
    rows = [Row(tuple(range(5, 5 + n)), tuple(range(6, 6 + n))) for n in lengths]
    made = pool(make_model("gpt2"), rows)
    pieces = made.pieces(torch.tensor([0, 1, 2, 3, 4]), 10)
    assert [piece.index.tolist() for piece in pieces] == [[2, 0], [4, 3], [1]]
    assert [tuple(piece.labels.shape) for piece in pieces] == [(2, 3), (2, 5), (1, 9)]
    assert sum(piece.n_labels for piece in pieces) == 23


def test_a_row_longer_than_a_piece_may_be_stands_alone():
    rows = [Row((5, 6, 7), (6, 7, 8)), Row((5, 6, 7), (6, 7, 8))]
    pieces = pool(make_model("gpt2"), rows).pieces(torch.arange(2), 1)
    assert [piece.index.tolist() for piece in pieces] == [[0], [1]]
