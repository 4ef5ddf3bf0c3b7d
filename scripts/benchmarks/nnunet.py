"""Training step of a resenc and prediction of an nnU-Net model: freetumor and nnunetv2 in turns, on one core.

    scripts/bench nnunet -- --nnunetv2 PYTHON [--side 48] [--steps 3] [--only predict-command]

PYTHON is an interpreter in which `pip install nnunetv2==2.8.1` was run; FREETUMOR_NNUNETV2 names it, too. Both sides
start from the same weights and see the same crops, so the report also lists how far losses and weights differ after the
steps, and compares the masks.

Rows: `step` and `predict` within a process; `predict-command` from file to file, `freetumor predict` and
nnUNetv2_predict_from_modelfolder with all their processes. It needs `npm run build`. Without nnunetv2, every row is
listed as skipped.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNTIME = ROOT / "python_runtime"
OUTPUTS = 3
ROWS = ("step", "predict", "predict-command")
ONLY_BY_NAME = "needs an interpreter with nnunetv2"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nnunetv2", help="interpreter with nnunetv2")
    parser.add_argument("--side", type=int, default=48, help="side of a crop in voxels")
    parser.add_argument("--steps", type=int, default=3, help="steps of each side")
    parser.add_argument("--rounds", type=int, default=2, help="turns of each side")
    parser.add_argument("--only", choices=ROWS, help="measure this row alone")
    parser.add_argument("--run", choices=("ours", "theirs"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.run is not None:
        print(json.dumps(one_side(options)))
        return
    wanted = [row for row in ROWS if options.only in (None, row)]
    options.nnunetv2 = options.nnunetv2 or os.environ.get("FREETUMOR_NNUNETV2")
    if options.nnunetv2 is None:
        why = "no interpreter with nnunetv2 (pass -- --nnunetv2 PYTHON, or set FREETUMOR_NNUNETV2)"
        print(json.dumps({"rows": [{"row": row, "skipped": why} for row in wanted]}))
        return
    rows = []
    with tempfile.TemporaryDirectory() as name:
        if {"step", "predict"} & set(wanted):
            rows += [row for row in compare(options, Path(name)) if row["row"] in wanted]
        if "predict-command" in wanted:
            rows.append(compare_commands(options, Path(name)))
    print(json.dumps({"rows": rows}))


def compare(options: argparse.Namespace, folder: Path) -> list[dict]:
    turns: dict[str, list[dict]] = {"ours": [], "theirs": []}
    for _ in range(options.rounds):
        for side, python in (("ours", sys.executable), ("theirs", options.nnunetv2)):
            arguments = ["--run", side, "--folder", str(folder), "--side", str(options.side)]
            arguments += ["--steps", str(options.steps)]
            environment = {**one_core(folder), "PYTHONPATH": str(RUNTIME)}
            done = subprocess.run([python, __file__, *arguments], env=environment, capture_output=True, text=True)
            if done.returncode != 0:
                sys.exit(done.stderr[-2000:])
            turns[side].append(json.loads(done.stdout.strip().splitlines()[-1]))
    return rows_of(turns["ours"], turns["theirs"])


def one_core(folder: Path) -> dict[str, str]:
    """Return the environment of a side: one thread, and the folders that nnunetv2 asks for."""
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    paths = {name: str(folder) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    return {**os.environ, **one_thread, **paths}


def compare_commands(options: argparse.Namespace, folder: Path) -> dict:
    """Predict one scan from file to file with both commands, in turns, and compare time, memory and masks."""
    model, scan = made_model(folder / "command")
    scans = folder / "command" / "scans"
    scans.mkdir()
    scan.rename(scans / scan.name)
    turns: dict[str, list[dict]] = {"ours": [], "theirs": []}
    masks: dict[str, bytes] = {}
    for number in range(options.rounds):
        for side, command in (
            ("ours", our_command(model, scans)),
            ("theirs", their_command(options.nnunetv2, model, scans)),
        ):
            out = folder / "command" / f"{side}{number}"
            turns[side].append(measured([*command, str(out)], one_core(folder)))
            masks[side] = voxels(next(out.glob("*.nii.gz")))
    ours, theirs = (
        {key: statistics.median(turn[key] for turn in turns[side]) for key in ("processor", "wall", "peakMiB")}
        for side in ("ours", "theirs")
    )
    equal = "equal" if masks["ours"] == masks["theirs"] else "different"
    memory = f"peak memory {ours['peakMiB']:.0f} and {theirs['peakMiB']:.0f} MiB, of all processes together"
    wall = f"wall time {ours['wall']:.1f} and {theirs['wall']:.1f} s"
    return {
        "row": "predict-command",
        "ours": {"median": ours["processor"]},
        "reference": {"median": theirs["processor"]},
        "ratio": theirs["processor"] / ours["processor"],
        "note": f"processor time of all processes; {wall}; {memory}; masks are {equal}",
    }


def our_command(model: Path, scans: Path) -> list[str]:
    program = ["node", str(ROOT / "dist/cli/start.js"), "predict", "--device", "cpu", "--threads", "1"]
    return [*program, "--checkpoint", str(model), "--images", str(scans), "--out"]


def their_command(python: str, model: Path, scans: Path) -> list[str]:
    program = str(Path(python).absolute().parent / "nnUNetv2_predict_from_modelfolder")
    return [program, "-i", str(scans), "-m", str(model), "-f", "0", "-device", "cpu", "-npp", "1", "-nps", "1", "-o"]


def measured(command: list[str], environment: dict[str, str]) -> dict[str, float]:
    """Run a command to its end; return processor and wall time in s, and the largest sum of memory of its processes."""
    import resource

    def children() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before, started, peak = children(), time.perf_counter(), 0
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, memory_below(process.pid))
            time.sleep(0.1)
        if process.returncode != 0:
            output.seek(0)
            sys.exit(f"{command[0]} ended with {process.returncode}: {output.read()[-2000:].decode(errors='replace')}")
    wall = time.perf_counter() - started
    return {"processor": children() - before, "wall": wall, "peakMiB": peak / 2**20}


def memory_below(root: int) -> int:
    """Return the memory in bytes of a process and its descendants; shared pages count in part for each (PSS)."""
    parents, sizes = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            parents[int(folder.name)] = int(stat[1])
        except OSError:
            continue
    inside = {root}
    while more := {pid for pid, parent in parents.items() if parent in inside} - inside:
        inside |= more
    for pid in inside:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        sizes[pid] = next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return sum(sizes.values())


def voxels(mask: Path) -> bytes:
    import nibabel
    import numpy as np

    return np.asarray(nibabel.load(mask).dataobj).astype(np.uint8).tobytes()


def rows_of(ours: list[dict], theirs: list[dict]) -> list[dict]:
    mine, other = ours[0], theirs[0]
    # nnU-Net's Dice loss is minus the mean Dice, ours 1 minus it
    farthest = max(abs(one - 1 - two) for one, two in zip(mine["losses"], other["losses"], strict=True))
    peaks = [max(turn["peakMiB"] for turn in side) for side in (ours, theirs)]
    norms = f"norm of the weights after the steps {mine['norm']:.6f} and {other['norm']:.6f}"
    notes = {
        "step": f"peak memory {peaks[0]} and {peaks[1]} MiB; losses differ by at most {farthest:.1e}; {norms}",
        "predict": f"masks are {'equal' if mine['mask'] == other['mask'] else 'different'}",
    }
    rows = []
    for row, note in notes.items():
        median, reference = (statistics.median(turn[row] for turn in side) for side in (ours, theirs))
        values = {"ours": {"median": median}, "reference": {"median": reference}, "ratio": reference / median}
        rows.append({"row": row, **values, "note": f"processor time; {note}"})
    return rows


def one_side(options: argparse.Namespace) -> dict:
    import resource

    import torch

    torch.set_num_threads(1)
    step = our_steps if options.run == "ours" else their_steps
    taken, losses, norm = step(options)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    predict = our_prediction if options.run == "ours" else their_prediction
    seconds, mask = predict(options.folder / options.run)
    return {"step": min(taken), "losses": losses, "norm": norm, "peakMiB": peak, "predict": seconds, "mask": mask}


def stages(side: int):
    """Return features, strides and blocks of nnU-Net's plan for a crop of this side."""
    count = 1
    while side // 2**count >= 4:
        count += 1
    blocks = [1, 3, 4, 6, 6, 6][:count]
    return [min(320, 32 * 2**at) for at in range(count)], [[1, 1, 1], *[[2, 2, 2]] * (count - 1)], blocks


def batch(side: int, step: int):
    import torch

    generator = torch.Generator().manual_seed(step)
    image = torch.randn(2, 1, side, side, side, generator=generator)
    return image, torch.randint(0, OUTPUTS, (2, 1, side, side, side), generator=generator)


def initial_weights(network) -> None:
    """Fill a network with weights that depend on the order of its parameters only."""
    import torch

    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.copy_(torch.randn(weight.shape, generator=generator) * (2 / weight[0].numel()) ** 0.5)


def timed(count: int, one_step) -> tuple[list[float], list[float]]:
    taken, losses = [], []
    for number in range(count):
        started = time.process_time()
        losses.append(one_step(number))
        taken.append(time.process_time() - started)
    return taken, losses


def norm_of(network) -> float:
    return sum(float(weight.double().square().sum()) for weight in network.parameters()) ** 0.5


def our_steps(options: argparse.Namespace):
    from types import SimpleNamespace

    import torch

    from freetumor_runtime.config.training import OptimizerSpec
    from freetumor_runtime.models.nnunet import Stage, build_nnunet
    from freetumor_runtime.training.learner import Learner
    from freetumor_runtime.training.optimization import SegmentationLoss
    from freetumor_runtime.training.ranks import Ranks

    features, strides, blocks = stages(options.side)
    plan = [Stage(*one) for one in zip(features, [(3, 3, 3)] * len(features), strides, blocks, strict=True)]
    network = build_nnunet("resenc", plan, outputs=OUTPUTS)
    initial_weights(network)
    network.supervise(True)
    spec = SimpleNamespace(
        optimizer=OptimizerSpec("sgd", 0.01, 3e-5, "poly", 0, 12.0),
        precision="fp32",
        reproducible=False,
        itemsPerStep=2,
        accumulation=1,
    )
    learner = Learner(network, spec, Ranks(0, 1, torch.device("cpu"), None))
    loss = SegmentationLoss([1.0] * OUTPUTS)

    def one_step(number: int) -> float:
        image, label = batch(options.side, number)
        learner.begin(0.01)
        total = sum(loss(learner.shared(image), label[:, 0]))
        learner.backward(total)
        learner.step()
        return float(total)

    taken, losses = timed(options.steps, one_step)
    return taken, losses, norm_of(network)


def their_steps(options: argparse.Namespace):
    import numpy as np
    import torch
    from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet
    from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
    from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
    from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from torch import nn

    features, strides, blocks = stages(options.side)
    count = len(features)
    network = ResidualEncoderUNet(
        1,
        count,
        features,
        nn.Conv3d,
        [[3, 3, 3]] * count,
        strides,
        blocks,
        OUTPUTS,
        [1] * (count - 1),
        conv_bias=True,
        norm_op=nn.InstanceNorm3d,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=True,
    )
    network.apply(network.initialize)
    initial_weights(network)
    dice = {"batch_dice": False, "smooth": 1e-5, "do_bg": False, "ddp": False}
    single = DC_and_CE_loss(dice, {}, weight_ce=1, weight_dice=1, dice_class=MemoryEfficientSoftDiceLoss)
    weights = np.array([1 / 2**at for at in range(count - 1)])
    weights[-1] = 0
    trainer = nnUNetTrainer.__new__(nnUNetTrainer)
    trainer.device, trainer.network, trainer.grad_scaler = torch.device("cpu"), network, None
    trainer.optimizer = torch.optim.SGD(network.parameters(), 0.01, weight_decay=3e-5, momentum=0.99, nesterov=True)
    trainer.loss = DeepSupervisionWrapper(single, weights / weights.sum())

    def one_step(number: int) -> float:
        image, label = batch(options.side, number)
        sides = [options.side // 2**at for at in range(count - 1)]
        targets = [nn.functional.interpolate(label.float(), (side,) * 3, mode="nearest-exact") for side in sides]
        return float(trainer.train_step({"data": image, "target": targets})["loss"])

    taken, losses = timed(options.steps, one_step)
    return taken, losses, norm_of(network)


def made_model(folder: Path) -> tuple[Path, Path]:
    sys.path.insert(0, str(RUNTIME))
    from dataclasses import replace

    from tests.inference.nnunet_models import MODELS, write_model, write_scan

    model = replace(MODELS["isotropic"], patch=[32, 32, 32], scan=(72, 64, 56))
    scan = folder / "case_0000.nii.gz"
    write_scan(scan, model, 0)
    return write_model(folder / "model", model), scan


def our_prediction(folder: Path) -> tuple[float, str]:
    import hashlib

    import numpy as np
    import torch

    from freetumor_runtime.checkpoints.nnunet_folder import load_folds, read_folder
    from freetumor_runtime.data.nifti import load_nifti
    from freetumor_runtime.inference.nnunet import segment_scan, winners_of

    path, scan = made_model(folder)
    started = time.process_time()
    model = read_folder(str(path))
    image, affine = load_nifti(str(scan))
    found = segment_scan(
        load_folds(model, torch.device("cpu")),
        model.plans,
        image,
        affine,
        mirror_axes=model.folds[0].mirror_axes,
        overlap=0.5,
        device=torch.device("cpu"),
        precision="fp32",
    )
    mask = found.on_scan(winners_of(found.logits), 0)
    seconds = time.process_time() - started
    return seconds, hashlib.sha256(np.ascontiguousarray(mask)).hexdigest()


def their_prediction(folder: Path) -> tuple[float, str]:
    import contextlib
    import hashlib

    import nibabel
    import numpy as np
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    path, scan = made_model(folder)
    started = time.process_time()
    with contextlib.redirect_stdout(sys.stderr):
        predictor = nnUNetPredictor(device=torch.device("cpu"), perform_everything_on_device=False, allow_tqdm=False)
        predictor.initialize_from_trained_model_folder(str(path), (0,))
        predictor.predict_from_files_sequential([[str(scan)]], [str(folder / "mask")])
    seconds = time.process_time() - started
    mask = np.asarray(nibabel.load(folder / "mask.nii.gz").dataobj).astype(np.uint8)
    return seconds, hashlib.sha256(np.ascontiguousarray(mask)).hexdigest()


if __name__ == "__main__":
    main()
