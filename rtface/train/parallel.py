"""Several processes that train one network: ``torchrun --nproc-per-node 4 -m -- rtface.train.NAME ...``.

(The two dashes keep torchrun from taking the trainer's ``--run`` for an option of its own.)
Every process draws batches of its own; gradients are averaged over all before each step, so weights stay the same
everywhere. Only the first process writes checkpoints and logs. ``--batch`` is each process' own.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch import distributed as dist


def join(device: str) -> torch.device:
    """The device of this process; under ``torchrun`` it joins the others first (NCCL on GPUs, else Gloo)."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not dist.is_initialized():
        cuda = torch.device(device).type == "cuda"
        if cuda:
            device = f"cuda:{int(os.environ.get('LOCAL_RANK', '0'))}"
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if cuda else "gloo")
    return torch.device(device)


def rank() -> int:
    """Number of this process; 0 when it is alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def share_weights(module: nn.Module) -> None:
    """Everybody takes the first process' parameters and buffers."""
    if count() > 1:
        for tensor in module.state_dict().values():
            dist.broadcast(tensor, 0)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace gradients by their mean over all processes; a parameter without one counts as zero."""
    if count() < 2:
        return
    groups: dict[torch.dtype, list[nn.Parameter]] = {}
    for parameter in parameters:
        if parameter.requires_grad:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            groups.setdefault(parameter.grad.dtype, []).append(parameter)
    for members in groups.values():  # one message per dtype: the networks are small, latency is what costs
        gradients: list[Tensor] = [p.grad for p in members if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        dist.all_reduce(flat)
        flat /= count()
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))


def leave() -> None:
    """Wait for the others and end; for the end of a run."""
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
