import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from freetumor_runtime.errors import DataError
from freetumor_runtime.synthesis.texture import (
    TEXTURE_SIGMAS,
    TextureBank,
    gaussian_blur,
    make_texture,
    quantised,
    spot_chance,
    texture_of_spots,
)
from tests.parity import fixture, largest_deviation, needs_parity

SIZE = (40, 36, 44)


@needs_parity
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-5)])
def test_the_published_noise_gives_the_published_texture(dtype, tolerance):
    published = fixture("texture_48x40x44")
    chance = spot_chance(published["noise"].astype(dtype), published["scale"], published["base"], published["sigma_a"])
    ours = texture_of_spots(chance, published["sample_noise"].astype(dtype), published["target"], published["sigma_b"])
    deviation = largest_deviation(ours, published["texture"])
    print(f"texture_48x40x44 in {np.dtype(dtype)}: {deviation:.1e}")
    assert deviation < tolerance


@pytest.mark.parametrize("sigma", [1.3, 4.0, 15.0])
def test_the_blur_is_scipys_even_when_the_kernel_is_wider_than_the_volume(sigma):
    volume = np.random.default_rng(3).random((20, 33, 48))
    assert largest_deviation(gaussian_blur(volume.copy(), sigma), ndimage.gaussian_filter(volume, sigma)) < 1e-12


def test_a_texture_goes_with_its_key_and_not_with_the_threads():
    first = make_texture(3, 4, SIZE, (7, 0))
    script = "import sys; sys.path.insert(0, '.'); from freetumor_runtime.synthesis.texture import make_texture; "
    script += f"import sys; sys.stdout.buffer.write(make_texture(3, 4, {SIZE}, (7, 0)).tobytes())"
    for threads in ("1", "4"):
        other = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            check=True,
            cwd=Path(__file__).parents[2],
            env={"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
        )
        assert other.stdout == first.tobytes()
    assert not np.array_equal(first, make_texture(3, 4, SIZE, (7, 1)))
    assert not np.array_equal(first, make_texture(3, 4, SIZE, (8, 0)))


def test_ten_textures_each_with_its_own_widths():
    assert len(set(TEXTURE_SIGMAS)) == 10
    assert TEXTURE_SIGMAS[0] == (3, 4)


def test_eight_bits_keep_the_statistics():
    texture = make_texture(6, 4, (96, 96, 96), (1, 2))
    stored = quantised(texture) / 255
    assert np.abs(stored - texture).max() <= 0.5 / 255 + 1e-6
    assert stored.mean() == pytest.approx(texture.mean(), abs=1e-5)
    assert stored.std() == pytest.approx(texture.std(), rel=1e-3)


def test_a_bank_makes_a_texture_on_first_use_and_reads_windows_of_its_file(tmp_path):
    bank = TextureBank(str(tmp_path), SIZE, seed=5)
    assert list(tmp_path.iterdir()) == []
    part = bank.part(3, (2, 0, 10), (8, 36, 20))
    assert part.dtype == torch.float32
    whole = quantised(make_texture(*TEXTURE_SIGMAS[3], SIZE, (5, 3)))
    assert torch.equal(part, torch.from_numpy(whole[2:10, :, 10:30]).float() / 255)
    (stored,) = tmp_path.glob("*.npy")
    before = stored.stat()
    assert torch.equal(TextureBank(str(tmp_path), SIZE, seed=5).part(3, (2, 0, 10), (8, 36, 20)), part)
    assert stored.stat().st_mtime_ns == before.st_mtime_ns
    assert list(tmp_path.glob("*.tmp.*")) == []


def test_processes_that_need_a_texture_at_once_share_one_whole_file(tmp_path):
    script = "import sys; sys.path.insert(0, '.'); from freetumor_runtime.synthesis.texture import TextureBank; "
    script += f"bank = TextureBank(sys.argv[1], {SIZE}, seed=5); print(bank.part(1, (0, 0, 0), {SIZE}).sum().item())"
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )
        for _ in range(3)
    ]
    sums = {rank.communicate()[0] for rank in ranks}
    assert [rank.returncode for rank in ranks] == [0, 0, 0]
    assert len(sums) == 1
    assert len(list(tmp_path.glob("*.npy"))) == 1


def test_refuses_a_window_outside_and_a_damaged_file(tmp_path):
    bank = TextureBank(str(tmp_path), SIZE, seed=5)
    with pytest.raises(DataError, match=r"\(30, 0, 0\) \+ \(16, 16, 16\)"):
        bank.part(0, (30, 0, 0), (16, 16, 16))
    with pytest.raises(DataError, match="expected 10 of"):
        bank.part(10, (0, 0, 0), (4, 4, 4))
    bank.part(0, (0, 0, 0), (4, 4, 4))
    (stored,) = tmp_path.glob("*.npy")
    stored.write_bytes(stored.read_bytes()[:1000])
    with pytest.raises(DataError, match=r"not a readable texture"):
        TextureBank(str(tmp_path), SIZE, seed=5).part(0, (0, 0, 0), (4, 4, 4))
