from types import SimpleNamespace

import numpy as np
import pytest
import torch

from freetumor_runtime.config.training import CachedCase
from freetumor_runtime.data.cache_writer import write_prepared_case
from freetumor_runtime.errors import DataError
from freetumor_runtime.training.ranks import Ranks
from freetumor_runtime.training.validation import validate

SHAPE = (24, 20, 18)


def test_a_validation_refuses_a_case_that_another_command_replaced(tmp_path):
    path = tmp_path / "a.zarr"
    image, label = np.zeros(SHAPE, np.int16), np.zeros(SHAPE, np.uint8)
    write_prepared_case(path, image, label, 7, -175, {"case": "a", "contentSha256": "of another scan"})
    case = CachedCase("a", str(path), "as prepared")
    spec = SimpleNamespace(segmentor=SimpleNamespace(outputs=3), validation=SimpleNamespace(cases=(case,)))
    ranks = Ranks(0, 1, torch.device("cpu"), None)
    with pytest.raises(DataError, match=r"case a: .*a\.zarr: replaced since it was prepared"):
        list(validate(spec, ranks, torch.nn.Module(), 1))
