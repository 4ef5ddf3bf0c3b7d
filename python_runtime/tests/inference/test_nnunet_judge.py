"""An nnU-Net as the judge of crops on the prepared grid."""

from dataclasses import replace

import pytest
import torch

from freetumor_runtime.checkpoints.nnunet_folder import load_folds, read_folder
from freetumor_runtime.config.common import BaselineSpec
from freetumor_runtime.errors import CheckpointError
from freetumor_runtime.inference.nnunet_judge import load_judge
from tests.inference.nnunet_models import MODELS, write_model

CPU = torch.device("cpu")
WINDOW = (-175.0, 250.0)
IMAGE = torch.rand(2, 1, 16, 16, 16, generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def test_on_the_grid_of_the_plans_it_is_the_mean_of_the_folds_in_hu(tmp_path):
    folder = str(write_model(tmp_path / "model", MODELS["five folds"]))
    judge = load_judge(BaselineSpec(folder, None, None, None), WINDOW, (1.5, 1.5, 1.5), CPU, 1)
    hu = (IMAGE * 425 - 175).clamp(-300, 310)
    array = ((hu - 20.5) / 120).permute(0, 1, 4, 3, 2)
    mean = torch.stack([network(array) for network in load_folds(read_folder(folder), CPU)]).mean(0)
    torch.testing.assert_close(judge.network(IMAGE), mean.permute(0, 1, 4, 3, 2))
    assert judge.tumor_outputs == (2,)
    assert judge.metadata["patchVoxels"] == [16, 16, 8]


def test_other_spacings_and_sides_give_logits_on_the_crop_and_gradients_to_it(tmp_path):
    folder = str(write_model(tmp_path / "model", MODELS["transposed"]))
    judge = load_judge(BaselineSpec(folder, None, None, None), WINDOW, (1.5, 1.5, 1.5), CPU, 1)
    image = torch.rand(1, 1, 24, 20, 18).requires_grad_()
    logits = judge.network(image)
    assert logits.shape == (1, 3, 24, 20, 18)
    logits.square().mean().backward()
    assert torch.count_nonzero(image.grad) > 0
    assert not any(weight.requires_grad for weight in judge.network.parameters())


def test_a_model_without_ct_normalization_cannot_judge(tmp_path):
    model = replace(MODELS["isotropic"], normalization="ZScoreNormalization")
    folder = str(write_model(tmp_path / "model", model))
    with pytest.raises(CheckpointError, match="expected CTNormalization, found ZScoreNormalization"):
        load_judge(BaselineSpec(folder, None, None, None), WINDOW, (1.5, 1.5, 1.5), CPU, 1)
