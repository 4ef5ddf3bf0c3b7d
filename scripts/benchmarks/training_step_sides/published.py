"""The synthesis step of the published code, from a checkout, with only the changes that it needs to run.

It paints tumors of its own simulation, so its losses are not those of the other sides.
"""

import argparse
import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import torch
from training_step_sides.ours import crops

# file of the checkout -> texts and what stands in their place
CHANGES = {
    "models/TumorGAN.py": {
        # there may be no GPU
        ".cuda()": "",
        # lists have no such method
        "self.textures = self.textures.tolist()": "pass",
        # gone from MONAI 1.5
        "img_size=(args.roi_x, args.roi_y, args.roi_z),": "",
        # not used
        "import torchvision\n": "\n",
        "from torchvision.transforms import GaussianBlur\n": "\n",
    },
}


def steps(options: argparse.Namespace) -> Iterator[dict[str, float]]:
    if options.step != "synthesis":
        raise SystemExit("--published: of the published code only the synthesis step is measured")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    model = published_model(options)
    optimizers = [torch.optim.Adam(net.parameters(), lr=1e-4, betas=(0.0, 0.999)) for net in (model.netG, model.netD)]
    model.train()
    for step in range(options.steps + 1):
        (crop,) = crops(step, options)
        image = ((crop.image_hu.float() + 175) / 425).clamp(0, 1)[None, None]
        label = crop.label.float()[None, None]
        # it prints progress
        with contextlib.redirect_stdout(sys.stderr):
            for parameter in model.parameters():
                parameter.grad = None
            fake, seen, _ = model(image, label, "losses_G", model.args)
            loss_g = fake * 0.1 + seen
            loss_g.backward()
            optimizers[0].step()
            loss_d = model(image, label, "losses_D", model.args)
            loss_d.backward()
            optimizers[1].step()
        yield {"generator": loss_g.item(), "discriminator": loss_d.item()}


def published_model(options: argparse.Namespace) -> torch.nn.Module:
    checkout = options.published / "FreeTumor-Abdomen"
    if not (checkout / "models/TumorGAN.py").exists():
        raise SystemExit(f"--published {options.published}: models/TumorGAN.py of FreeTumor-Abdomen is not there")
    changed = options.folder / "published"
    shutil.rmtree(changed, ignore_errors=True)
    shutil.copytree(checkout, changed)
    for name, texts in CHANGES.items():
        path = changed / name
        source = path.read_text()
        for text, instead in texts.items():
            source = source.replace(text, instead)
        path.write_text(source)
    sys.path.insert(0, str(changed))
    # on import it reads its lists
    os.chdir(changed)
    from models.TumorGAN import TGAN

    args = SimpleNamespace(
        **{f"roi_{axis}": options.side for axis in "xyz"},
        in_channels=1,
        out_channels=7,
        feature_size=options.feature_size,
        sw_batch_size=1,
        infer_overlap=0.75,
        rank=0,
        distributed=False,
        baseline_seg_dir=str(options.folder / "baseline.pt"),
        model_name="SwinUNETR",
    )
    with contextlib.redirect_stdout(sys.stderr):
        return TGAN(args)
