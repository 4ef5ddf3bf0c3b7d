"""Limits of waits."""

from freetumor_runtime.bridge.patience import wait_awake


def test_it_waits_in_slices_until_the_limit():
    asked = []
    assert not wait_awake(asked.append, 2.5)
    assert asked == [1.0, 1.0, 0.5]


def test_it_ends_with_the_first_success():
    answers = [False, True]
    assert wait_awake(lambda _: answers.pop(0), 30)
    assert answers == []
