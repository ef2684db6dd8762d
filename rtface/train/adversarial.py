"""Generator against discriminator: the two optimisers, their steps, and checkpoints that hold both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from rtface.losses.inpainting import adversarial_discriminator
from rtface.nets.discriminator import PatchDiscriminator
from rtface.train import common, parallel


class Game:
    """A discriminator with its own learning rate (TTUR: Heusel et al., NeurIPS 2017) beside a generator.

    Until ``start`` steps the generator learns alone: a discriminator that judges noise teaches nothing.
    """

    def __init__(self, inputs: int, options: Any, device: torch.device) -> None:
        self.net = PatchDiscriminator(inputs, options.d_width).to(device)
        self.optimizer = torch.optim.Adam(self.net.parameters(), lr=options.lr * options.d_lr, betas=(0.0, 0.9))
        self.start, self.path = options.d_start, options.run / "discriminator.pt"
        self.ratio = options.d_lr
        parallel.share_weights(self.net)

    def on(self, step: int) -> bool:
        """Whether it takes part in this step."""
        return step >= self.start

    def learn(self, real: Tensor, fake: Tensor, rate: float, hole: Tensor | None = None) -> Tensor:
        """One step of the discriminator; returns its loss. hole: see :func:`.inpainting.adversarial_discriminator`."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * self.ratio
        loss = adversarial_discriminator(self.net(real)[0], self.net(fake.detach())[0], hole)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        parallel.average_gradients(self.net.parameters())
        self.optimizer.step()
        return loss.detach()

    def save(self) -> None:
        """Beside the generator's checkpoint; the old file stays until the new one is complete."""
        temporary = self.path.with_suffix(".tmp")
        torch.save({"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict()}, temporary)
        temporary.replace(self.path)

    def restore(self) -> None:
        """Strictly; for --resume."""
        state = common.load_checkpoint(self.path)
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])


def add_options(parser: Any, *, start: int) -> None:
    """The options of :class:`Game`."""
    parser.add_argument("--d-width", type=int, default=32, help="channels of the discriminator's first layer")
    parser.add_argument("--d-lr", type=float, default=1.0, help="its learning rate over the generator's")
    parser.add_argument("--d-start", type=int, default=start, help="steps before it takes part")


def partial_init(module: nn.Module, path: Path) -> list[str]:
    """Fill what fits by name and shape from another network's checkpoint (its encoder, say); names of the rest.

    A first convolution with more input channels takes the known ones and starts the others at zero.
    """
    stored = common.load_checkpoint(path)["ema"]
    own, rest = module.state_dict(), []
    for name, value in own.items():
        source = stored.get(name.removeprefix("body."))
        if source is not None and source.shape == value.shape:
            value.copy_(source)
        elif source is not None and source.ndim == value.ndim == 4 and source.shape[2:] == value.shape[2:] \
                and source.shape[0] == value.shape[0]:
            channels = min(source.shape[1], value.shape[1])
            value.zero_()
            value[:, :channels].copy_(source[:, :channels])
        else:
            rest.append(name)
    module.load_state_dict(own)
    return rest
