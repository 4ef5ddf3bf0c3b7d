"""The reference plug-in: a small diffusion model that paints tumors in four steps, trained on phantoms in a minute.

    python diffusion_synthesizer.py --train weights.pt --seed 1
    freetumor plugin check --python python -- diffusion_synthesizer.py --weights weights.pt

It needs PyTorch and NumPy. The model learns p(difference | host, shape): the difference in HU that a tumor makes, given
the host crop and the planned shape. Sampling is deterministic DDIM, so the seed alone decides the noise and the tumor.
"""

import argparse
import hashlib
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from freetumor_plugin import serve
from torch import Tensor, nn
from torch.nn import functional

ORGANS = ["liver", "pancreas", "kidney", "lung"]
# HU of one unit of the network's input and output
HOST_HU, DIFFERENCE_HU = 100.0, 40.0
STEPS, TRAINING_STEPS, BATCH, SIDE = 4, 240, 4, 24
MARGIN_VOXELS, MULTIPLE = 6, 4


class Denoiser(nn.Module):
    """Noisy difference, host and shape [B, 3, X, Y, Z], time [B] -> clean difference [B, 1, X, Y, Z]."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.time = nn.Linear(2, 2 * width)
        self.first, self.down = _convolution(3, width), _convolution(width, 2 * width, stride=2)
        self.middle = _convolution(2 * width, 2 * width)
        self.up = _convolution(3 * width, width)
        self.last = nn.Conv3d(width, 1, 3, padding=1)

    def forward(self, noisy: Tensor, host: Tensor, shape: Tensor, time: Tensor) -> Tensor:
        fine = self.first(torch.cat([noisy, host, shape], 1))
        angle = self.time(torch.stack([time.cos(), time.sin()], 1))[:, :, None, None, None]
        coarse = self.middle(self.down(fine) + angle)
        wide = functional.interpolate(coarse, fine.shape[2:], mode="trilinear", align_corners=False)
        return self.last(self.up(torch.cat([fine, wide], 1))) * shape


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1), nn.GroupNorm(4, outputs), nn.SiLU())


@torch.no_grad()
def sample(network: Denoiser, host: Tensor, shape: Tensor, seed: int) -> Tensor:
    """Return a difference [X, Y, Z] by deterministic DDIM from noise of the seed."""
    # on the CPU, so that the noise is that of the seed on every device
    noise = torch.randn(host.shape, generator=torch.Generator().manual_seed(seed)).to(host.device)
    noisy = noise[None, None]
    times = torch.linspace(math.pi / 2, 0, STEPS + 1)
    for now, after in zip(times[:-1], times[1:], strict=True):
        clean = network(noisy, host[None, None], shape[None, None], now[None].to(host.device)).clamp(-4, 4)
        residual = (noisy - now.cos() * clean) / now.sin()
        noisy = after.cos() * clean + after.sin() * residual
    return noisy[0, 0]


def synthesize(request: dict, network: Denoiser, device: str) -> np.ndarray:
    """Return the host crop with a tumor in its shape, in HU."""
    host_hu, shape = request["image"], request["shape"] > 0
    painted = host_hu.copy()
    if not shape.any():
        return painted
    box = _box_around(shape)
    inside, part = torch.from_numpy(shape[box]).float(), torch.from_numpy(host_hu[box])
    typical = float(np.median(host_hu[shape]))
    host = ((part - typical) / HOST_HU).clamp(-3, 3).to(device)
    difference = sample(network, host, inside.to(device), request["seed"]).cpu()
    painted[box] += (DIFFERENCE_HU * difference * inside).numpy()
    return painted


def _box_around(shape: np.ndarray) -> tuple[slice, ...]:
    """Return the box of the shape with a margin; its sides are multiples of 4, as far as the crop allows."""
    sides = []
    for axis, length in enumerate(shape.shape):
        places = np.flatnonzero(shape.any(axis=tuple({0, 1, 2} - {axis})))
        start = max(0, places[0] - MARGIN_VOXELS)
        stop = min(length, places[-1] + 1 + MARGIN_VOXELS)
        sides.append(slice(start, min(length, start + -(-(stop - start) // MULTIPLE) * MULTIPLE)))
    return tuple(sides)


def phantoms(random: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return hosts, shapes and differences of a batch, each [B, 1, X, Y, Z] in units of the network.

    A tumor is darker than its organ, by 0.5 to 1.5 units, with a darker core, a blurred edge and a texture of its own.
    """
    axis = torch.linspace(-1, 1, SIDE)
    place = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))
    rand = lambda *sides: torch.rand(BATCH, *sides, 1, 1, 1, generator=random)  # noqa: E731
    ragged = _smooth(torch.randn(BATCH, 1, SIDE, SIDE, SIDE, generator=random), 5) * 0.15
    radii = 0.15 + 0.6 * rand(3)
    distance = ((place[None] - 0.4 * (rand(3) - 0.5)) / radii).square().sum(1, keepdim=True).sqrt() + ragged
    shape = (distance < 1).float()
    host = _smooth(torch.randn(BATCH, 1, SIDE, SIDE, SIDE, generator=random), 3) * (0.05 + 0.1 * rand(1))
    texture = _smooth(torch.randn(BATCH, 1, SIDE, SIDE, SIDE, generator=random), 3) * 0.25
    depth, core = 0.5 + rand(1), rand(1)
    difference = -depth * (1 + 0.5 * core * (1 - distance).clamp(0, 1)) + texture - host
    return host, shape, difference * shape * (4 * (1.15 - distance)).clamp(0, 1)


def _smooth(noise: Tensor, side: int) -> Tensor:
    """Return noise of unit deviation, blurred twice by a box."""
    blurred = noise
    for _ in range(2):
        blurred = functional.avg_pool3d(blurred, side, stride=1, padding=side // 2)
    return blurred / blurred.std()


def train(path: str, seed: int) -> None:
    """Train on phantoms and write the weights. The seed and the number of threads decide them."""
    torch.manual_seed(seed)
    random = torch.Generator().manual_seed(seed)
    network = Denoiser()
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    started, used = time.perf_counter(), time.process_time()
    for step in range(TRAINING_STEPS):
        host, shape, clean = phantoms(random)
        angle = torch.rand(BATCH, generator=random) * math.pi / 2
        cosine, sine = (part[:, None, None, None, None] for part in (angle.cos(), angle.sin()))
        noise = torch.randn(clean.shape, generator=random)
        found = network(cosine * clean + sine * noise, host, shape, angle)
        loss = ((found - clean) * shape).square().sum() / shape.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0 or step == TRAINING_STEPS - 1:
            seconds, cpu = time.perf_counter() - started, time.process_time() - used
            print(f"step {step}: loss {loss.item():.4f}, {seconds:.0f} s ({cpu:.0f} s of CPU)", flush=True)
    torch.save(network.state_dict(), path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    modes = parser.add_mutually_exclusive_group(required=True)
    modes.add_argument("--train", metavar="FILE", help="train on phantoms and write the weights")
    modes.add_argument("--weights", metavar="FILE", help="serve as a plug-in with these weights")
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    options = parser.parse_args()
    device, threads = (os.environ.get(f"FREETUMOR_PLUGIN_{name}") for name in ("DEVICE", "THREADS"))
    if threads is not None:
        torch.set_num_threads(int(threads))
    torch.use_deterministic_algorithms(True, warn_only=True)
    if options.train is not None:
        train(options.train, options.seed)
        return
    network = Denoiser()
    network.load_state_dict(torch.load(options.weights, weights_only=True))
    network.eval().to(device or "cpu")
    # the hash of the program does not cover the weights, the version does
    digest = hashlib.sha256(Path(options.weights).read_bytes()).hexdigest()[:12]
    serve(
        name="diffusion",
        version=f"1.0+{digest}",
        licence="Apache-2.0",
        synthesize=lambda request: synthesize(request, network, device or "cpu"),
        synthesizes={"organs": ORGANS},
    )


if __name__ == "__main__":
    main()
