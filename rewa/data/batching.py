"""Which images stand in which batch: equal for all loaders, whatever holds the images."""

from __future__ import annotations

import torch
from torch import Tensor

from rewa import distributed
from rewa.errors import UserError

RESIZE = "antialiased bilinear (torchvision)"
"""How the loaders that decode files themselves resize; stands in every result."""


def train_indices(count: int, batch_size: int, generator: torch.Generator) -> list[Tensor]:
    """Return the shuffled batches of one epoch, over all processes; the generator moves on.

    Args:
        count: Number of images.
        batch_size: Images per batch; a last batch with fewer is left out unless it is the only one.
        generator: On the CPU; seeded by the epoch's seed.

    Returns:
        Per batch the indices of its images, int64, on the CPU.

    Raises:
        UserError: If there are more processes than images in a batch.
    """
    batches = list(torch.split(torch.randperm(count, generator=generator), batch_size))
    if len(batches) > 1 and len(batches[-1]) < batch_size:
        del batches[-1]
    if len(batches[0]) < distributed.world_size():
        raise UserError(
            f"A training batch of {len(batches[0])} images cannot be shared by {distributed.world_size()} "
            "processes; every process needs at least one image of it."
        )
    return batches


def eval_indices(count: int, batch_size: int) -> list[Tensor]:
    """Return this process's share of every batch of a split in stored order; empty shares are left out."""
    shares = (distributed.share(batch) for batch in torch.split(torch.arange(count), batch_size))
    return [share for share in shares if len(share)]


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Move a tensor from the CPU without making the host wait for the device."""
    if device.type == "cuda" and not tensor.is_pinned():
        tensor = tensor.contiguous().pin_memory()
    return tensor.to(device, non_blocking=True)
