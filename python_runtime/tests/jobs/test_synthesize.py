from types import SimpleNamespace

import numpy as np
import pytest

from freetumor_runtime.config.synthesis import SynthesizeCase
from freetumor_runtime.data.cache_writer import write_prepared_case
from freetumor_runtime.errors import DataError
from freetumor_runtime.jobs.synthesize import OpenCase

SHAPE = (24, 20, 18)


def test_a_host_that_another_command_replaced_is_refused_before_it_is_painted(tmp_path):
    path = tmp_path / "a.zarr"
    image, label = np.zeros(SHAPE, np.int16), np.zeros(SHAPE, np.uint8)
    write_prepared_case(path, image, label, 7, -175, {"case": "a", "contentSha256": "of another scan"})
    case = SynthesizeCase("a", "a", "a.nii", "a_label.nii", {}, str(path), "as prepared", False)
    begun = SimpleNamespace(subvolume_start=(0, 0, 0), subvolume_shape=(16, 16, 16))
    with pytest.raises(DataError, match=r"case a: .*a\.zarr: replaced since it was prepared"):
        OpenCase.open(case, None, begun)
