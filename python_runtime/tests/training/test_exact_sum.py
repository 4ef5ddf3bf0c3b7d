"""Sums that no order of additions changes, against exact rational arithmetic."""

import math
import random

import numpy as np
import pytest
import torch

from freetumor_runtime.training.exact_sum import ExactSum
from freetumor_runtime.training.ranks import Ranks

ALONE = Ranks(0, 1, torch.device("cpu"), None)


def mean_of(terms, factor=1.0):
    total = ExactSum(terms[:1])
    for term in terms:
        total.add([term], factor)
    return total.mean(len(terms), ALONE)[0]


@pytest.fixture
def terms():
    """24 gradients over 60 orders of magnitude of two, that cancel in part."""
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(24, 2000, generator=generator)
    return list((values * 2.0 ** torch.randint(-45, 15, values.shape, generator=generator)).unbind())


def test_the_mean_is_the_exact_one_rounded_once(terms):
    exact = [math.fsum(column) / len(terms) for column in torch.stack(terms).double().T.tolist()]
    np.testing.assert_array_equal(mean_of(terms).numpy(), np.array(exact).astype(np.float32))


def test_no_order_and_no_grouping_changes_a_bit(terms):
    whole = mean_of(terms)
    for seed in range(5):
        shuffled = random.Random(seed).sample(terms, len(terms))
        assert torch.equal(mean_of(shuffled), whole)
        cut = 1 + seed * 5
        first, second = ExactSum(terms[:1]), ExactSum(terms[:1])
        for term in shuffled[:cut]:
            first.add([term])
        for term in shuffled[cut:]:
            second.add([term])
        first._parts += second._parts
        assert torch.equal(first.mean(len(terms), ALONE)[0], whole)


def test_a_plain_float64_sum_of_them_depends_on_the_order():
    """What the two grids are for: a large value, its opposite, and one that is lost beside them."""
    values = [torch.tensor([2.0**10]), torch.tensor([2.0**-50]), torch.tensor([-(2.0**10)])]
    assert math.fsum(float(value) for value in values) == 2.0**-50
    assert (values[0].double() + values[1].double()) + values[2].double() == 0
    assert mean_of(values) * 3 == pytest.approx(2.0**-50)


def test_a_missing_gradient_counts_as_zero_and_a_scaled_one_is_unscaled():
    total = ExactSum([torch.zeros(2), torch.zeros(3, 1)])
    total.add([torch.tensor([2.0, 4.0]), None], 0.5)
    total.add([torch.tensor([1.0, 1.0]), torch.ones(3, 1)])
    first, second = total.mean(2, ALONE)
    assert first.tolist() == [1.0, 1.5]
    assert second.tolist() == [[0.5]] * 3


@pytest.mark.parametrize("broken", [float("inf"), float("nan")])
def test_what_is_no_number_stays_none(broken):
    assert not mean_of([torch.tensor([1.0]), torch.tensor([broken])]).isfinite().any()
