"""Run the reference of startup.py under torchrun: import PyTorch and MONAI, build the same small network, make one
step.

The crops are random. Prints a line when the step is done.
"""

import torch
from monai.losses import DiceCELoss

from freetumor_runtime.models.small import SmallSegmentor

OUTPUTS, CROPS, SIDE = 7, 4, 40

torch.set_num_threads(1)
torch.manual_seed(0)
network = SmallSegmentor(OUTPUTS, base_channels=16, levels=3).train()
optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
loss = DiceCELoss(to_onehot_y=True, softmax=True)
image_B1XYZ = torch.rand(CROPS, 1, SIDE, SIDE, SIDE)
label_B1XYZ = torch.randint(0, OUTPUTS, image_B1XYZ.shape)
loss(network(image_B1XYZ), label_B1XYZ).backward()
optimizer.step()
print("step", flush=True)
