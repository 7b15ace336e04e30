"""What sequential models are trained to make small, computed without a matrix of all logits.

Idea: gradients of softmax cross-entropy need only one pass over the logits, so they are made with
the loss, a tile of targets at a time, as Liger Kernel does on GPUs (Hsu et al., arXiv 2410.10989).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from llmrg.errors import DataError

CPU_TILE = 2**22
"""Logits held at once on a CPU: 16 MiB in float32, about what its last cache holds."""

GPU_TILE = 2**27
"""Logits held at once elsewhere: 512 MiB in float32, enough to keep a GPU busy."""


def full_softmax(
    states: Tensor, item_table: Tensor, targets: Tensor, *, tile: int | None = None
) -> Tensor:
    """Mean cross-entropy of the target against every item of the catalog but padding.

    Equals `F.cross_entropy(states @ item_table[1:].T, targets - 1)`, value and gradients.
    It can be differentiated once, not twice.

    Args:
        states: what the model knows before each target. Shape (T, D).
        item_table: one vector per item; row 0, the padding, is left out. Shape (N, D).
        targets: item indices, from 1. Shape (T,), int64.
        tile: targets per tile; by default as many as the device digests well.

    Returns:
        A scalar, in nats.

    Raises:
        DataError: if there are no targets.
    """
    if len(targets) == 0:
        raise DataError("full_softmax needs at least one target (got a batch without any)")
    if tile is None:
        logits = CPU_TILE if states.device.type == "cpu" else GPU_TILE
        tile = max(logits // len(item_table), 16)
    loss: Tensor = _FullSoftmax.apply(states, item_table, targets, tile)  # type: ignore[no-untyped-call]
    return loss


class _FullSoftmax(torch.autograd.Function):
    """The loss with its gradients made in the forward pass."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, item_table: Tensor, targets: Tensor, tile: int) -> Tensor:
        items, columns = item_table[1:], (targets - 1)[:, None]
        d_states, d_table = torch.empty_like(states), torch.zeros_like(item_table)
        d_items = d_table[1:]
        buffer = states.new_empty(min(tile, len(targets)), len(items))
        total = states.new_zeros(())
        for start in range(0, len(targets), tile):
            part = slice(start, start + tile)
            state, column = states[part], columns[part]
            weights = buffer[: len(state)]
            torch.mm(state, items.T, out=weights)
            highest = weights.amax(1, keepdim=True)
            wanted = weights.gather(1, column)
            weights.sub_(highest).exp_()
            mass = weights.sum(1, keepdim=True)
            total += (mass.log() + highest - wanted).sum()
            # The gradient by the logits is weights / mass - onehot. Dividing the narrow factors
            # of both products by `mass` saves a pass over the wide tile.
            weights.scatter_add_(1, column, -mass)
            torch.mm(weights, items, out=d_states[part]).div_(mass)
            d_items.addmm_(weights.T, state / mass)
        ctx.save_for_backward(d_states.div_(len(targets)), d_table.div_(len(targets)))
        return total / len(targets)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        d_states, d_table = ctx.saved_tensors
        return d_states * gradient, d_table * gradient, None, None
