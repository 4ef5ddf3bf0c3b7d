"""Pictures are spread over the run."""

from types import SimpleNamespace

import pytest

from freetumor_runtime.training.pictures import wants_picture


@pytest.mark.parametrize(("steps", "pictures"), [(1, 1), (10, 3), (60, 6), (3, 6), (100, 0)])
def test_as_many_pictures_as_asked_are_spread_over_the_run(steps, pictures):
    spec = SimpleNamespace(steps=steps, pictures=pictures)
    chosen = [step for step in range(steps) if wants_picture(spec, step)]
    assert len(chosen) == min(steps, pictures)
    assert not pictures or chosen[-1] == steps - 1
