"""torchvision's MobileNetV2 trained by sign-symmetry: `python examples/torchvision_network.py`, a few seconds on a CPU.

Any rule that the table in docs/library.md lists for a network can take its place.
"""

import torch
from torchvision.models import MobileNetV2

from asapbench import attach

torch.manual_seed(0)
labels = torch.arange(32) % 4
images = torch.randn(4, 3, 32, 32)[labels] + 0.5 * torch.randn(32, 3, 32, 32)  # four patterns with noise
learner = attach(MobileNetV2(num_classes=4, width_mult=0.25), "sign_symmetry", sample=images[:2])
optimizer = torch.optim.SGD([p for _, p in learner.trained_parameters()], lr=0.003, momentum=0.9)
for _ in range(30):
    optimizer.zero_grad()
    objective = learner.backward(images, labels)
    optimizer.step()
print(f"accuracy {float((objective.logits.argmax(1) == labels).float().mean()):.2f} of the training batch")
