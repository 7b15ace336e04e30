"""A sequential host fused with two graph encoders: what LLMRG trains.

Paper:      Wang et al., "Enhancing Recommender Systems with Large Language Model Reasoning
            Graphs", arXiv 2308.10835. Two SR-GNNs encode the reasoning graph and its divergent
            extension; E_fusion = concat(E_ori, E_div, E_base) predicts the next item.
Reference:  none; the authors published no code.
Differs:    the paper names no predictor: here one linear map from 3 D to D and a dot product with
            the item table, its part for E_base starting as the identity and the others at zero,
            so that training starts from the host and not from a random turn of it;
            the paper names no loss: here cross-entropy over the whole catalog at some prefixes of
            every user, plus `host_loss` times the host's own loss over all of them;
            every prefix sees its graph as of that prefix (the paper does not say).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from llmrg.data.batches import Batch
from llmrg.encoding.srgnn import SRGNN
from llmrg.recommenders.fused_batches import FusedBatch, GraphPair
from llmrg.recommenders.sequential.base import SequentialModel
from llmrg.recommenders.sequential.losses import full_softmax
from llmrg.training import Trainable

PROBE_LENGTH = 8


class FusedModel(Trainable):
    """Host and encoders; all share the host's item table.

    Args:
        host: any sequential model; its hidden size is that of the encoders.
        text_size: F, the number of text features of a node that is no item.
        num_steps: message passing steps of both encoders.
        host_loss: weight of the host's own loss beside that of the fused prediction; a frozen host
            has none.
        host_rate: share of the learning rate that the host is trained with; 0 freezes it: no
            gradient of it is computed, and the optimizer does not know it.
    """

    def __init__(
        self,
        host: SequentialModel,
        text_size: int,
        *,
        num_steps: int = 1,
        host_loss: float = 1.0,
        host_rate: float = 1.0,
    ) -> None:
        super().__init__()
        num_items, size = host.item_table.shape
        self.host, self.num_items = host, num_items
        self.host_loss, self.host_rate = host_loss if host_rate else 0.0, host_rate
        host.requires_grad_(host_rate > 0)
        self.text = nn.Linear(text_size, size, bias=False)
        self.observed_encoder = SRGNN(size, num_steps=num_steps)
        self.extended_encoder = SRGNN(size, num_steps=num_steps)
        self.fusion = nn.Linear(3 * size, size)
        with torch.no_grad():
            self.fusion.weight.zero_()
            self.fusion.weight[:, 2 * size :] = torch.eye(size)
            self.fusion.bias.zero_()
        self.states_are_encodings = _states_are_encodings(host)

    def encode_graphs(self, graphs: GraphPair) -> Tensor:
        """Encode both graphs of each query. Shape (C, 2 D); zeros for a query without a graph."""
        features = self.host.to_tensor(graphs.features)
        observed, extended = (g.to(features.device) for g in (graphs.observed, graphs.extended))
        original = self.observed_encoder(self._nodes(observed.x, features), observed)
        divergent = self.extended_encoder(self._nodes(extended.x, features), extended)
        return torch.cat([original, divergent], 1)

    def fuse(self, encoded_graphs: Tensor, base: Tensor) -> Tensor:
        """Combine graph vectors (C, 2 D) and host states (C, D) into one state. Shape (C, D)."""
        fused: Tensor = self.fusion(torch.cat([encoded_graphs, base], 1))
        return fused

    def loss(self, batch: FusedBatch) -> tuple[Tensor, int]:
        """Fused loss at the drawn cells plus the weighted loss of the host at all cells."""
        windows, losses, count = batch.windows, [], len(batch.cells)
        sequences = self.host.to_tensor(windows.sequences)
        states = self.host.states(sequences).flatten(0, 1) if self.states_are_encodings else None
        if count:
            base = self._encode_prefixes(sequences, states, batch.cells)
            fused = self.fuse(self.encode_graphs(batch.graphs), base)
            losses.append(self._next_item_loss(fused, windows, batch.cells))
        if self.host_loss:
            losses.append(self.host_loss * self._host_loss(windows, states))
            count = len(windows.cells)
        # A batch without drawn cells teaches nothing, but the loop still differentiates its loss.
        losses = losses or [torch.zeros((), device=sequences.device, requires_grad=True)]
        return torch.stack(losses).sum(), count

    def train(self, mode: bool = True) -> FusedModel:
        """Training mode; a frozen host stays as it ranks, without dropout."""
        super().train(mode)
        self.host.train(mode and self.host_rate > 0)
        return self

    def rates(self) -> list[tuple[list[nn.Parameter], float]]:
        """The host at its own rate, unless it is frozen; what reads the graphs at the full one."""
        host = list(self.host.parameters())
        known = {id(parameter) for parameter in host}
        others = [parameter for parameter in self.parameters() if id(parameter) not in known]
        return [(host, self.host_rate), (others, 1.0)] if self.host_rate else [(others, 1.0)]

    def _encode_prefixes(
        self, sequences: Tensor, states: Tensor | None, cells: NDArray[np.int64]
    ) -> Tensor:
        """What the host knows at each cell, and nothing of what came after. Shape (C, D)."""
        if states is not None:
            return states.index_select(0, self.host.to_tensor(cells))
        row, place = (self.host.to_tensor(part) for part in np.divmod(cells, sequences.shape[1]))
        known = torch.arange(sequences.shape[1], device=row.device) <= place[:, None]
        return self.host.encode(sequences[row].where(known, 0))

    def _host_loss(self, windows: Batch, states: Tensor | None) -> Tensor:
        """The host's own loss; a host that adds nothing to the base's shares its one pass."""
        if states is None or type(self.host).loss is not SequentialModel.loss:
            return self.host.loss(windows)[0]
        known = states.index_select(0, self.host.to_tensor(windows.cells))
        return self._next_item_loss(known, windows, windows.cells)

    def _next_item_loss(self, states: Tensor, windows: Batch, cells: NDArray[np.int64]) -> Tensor:
        targets = self.host.to_tensor(windows.targets.ravel()[cells])
        return full_softmax(states, self.host.item_table, targets)

    def _nodes(self, ids: Tensor, features: Tensor) -> Tensor:
        """Look up item nodes in the item table and project the text of the others. Shape (V, D)."""
        is_item = ids < self.num_items
        nodes = F.embedding(ids.where(is_item, 0), self.host.item_table)
        other = (~is_item).nonzero()[:, 0]
        return nodes.index_copy(0, other, self.text(features[ids[other] - self.num_items]))


@torch.no_grad()
def _states_are_encodings(host: SequentialModel) -> bool:
    """Whether one pass over a sequence gives what encoding each of its prefixes gives.

    True for models that read from left to right. A model that looks ahead, such as BERT4Rec,
    would tell the target to the prefix before it, so its prefixes are encoded one by one.
    """
    training = host.training
    host.eval()
    length = min(PROBE_LENGTH, host.max_length)
    items = torch.arange(2 * length, device=host.item_table.device).view(2, length)
    sequences = items % (len(host.item_table) - 1) + 1
    half = (length + 1) // 2
    alike = torch.allclose(
        host.states(sequences)[:, half - 1], host.encode(sequences[:, :half]), rtol=1e-4, atol=1e-5
    )
    host.train(training)
    return alike
