"""The batched logistic regression against scikit-learn, one problem at a time."""

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from worker.core.asking.logistic import fit, predict, standardize


def problems():
    generator = torch.Generator().manual_seed(0)
    centers = torch.randn(3, 1, 8, 4, generator=generator) * torch.tensor([0.0, 0.7, 3.0])[
        :, None, None, None
    ].expand(3, 1, 8, 4)
    y = torch.arange(90) % 4
    x = torch.randn(3, 90, 8, generator=generator) + centers[:, 0].transpose(1, 2)[:, y]
    return x.double(), y.expand(3, -1)


def test_each_problem_of_a_batch_has_the_answer_of_scikit_learn() -> None:
    x, y = problems()
    weights = fit(x, y, 4)
    for i in range(3):
        alone = LogisticRegression(max_iter=5000, tol=1e-8).fit(x[i].numpy(), y[i].numpy())
        expected = alone.predict_proba(x[i].numpy())
        found = predict(weights, x)[i].numpy()
        np.testing.assert_allclose(found, expected, atol=5e-3)
        assert (found.argmax(1) == expected.argmax(1)).mean() > 0.98


def test_a_problem_ends_where_it_ends_alone() -> None:
    """The easy problem must not be moved by the hard one beside it."""
    x, y = problems()
    together, alone = fit(x, y, 4), fit(x[2:], y[2:], 4)
    np.testing.assert_allclose(
        predict(together, x)[2].numpy(), predict(alone, x[2:])[0].numpy(), atol=5e-3
    )


def test_features_are_scaled_by_the_training_sample_alone() -> None:
    train, test = torch.tensor([[[0.0], [2.0], [4.0]]]), torch.tensor([[[6.0]]])
    scaled, asked = standardize(train, test)
    assert scaled[0, :, 0].tolist() == [-1.0, 0.0, 1.0]
    assert asked[0, 0, 0].item() == 2.0
