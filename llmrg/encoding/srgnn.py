"""SR-GNN: a gated graph network over the items of a session, read out with soft attention.

Paper:      Wu et al., "Session-based Recommendation with Graph Neural Networks", AAAI 2019,
            arXiv 1811.00855. LLMRG (arXiv 2308.10835) encodes its reasoning graphs with it.
Reference:  github.com/CRIPAC-DIG/SR-GNN at e21cfa4, pytorch_code/model.py (authors' code).
            tests/reference/srgnn holds its outputs; ours agree.
Differs:    edges are listed instead of filled into a matrix per graph, which changes no number;
            the sum over the places of a session is a sum over nodes, each times its count;
            a graph without an observed item is encoded as zero (a session always has one).

With h_v the state of node v, one step is

    a_v  = [mean over predecessors u of (W_in h_u + b_in) + c_in ;
            mean over successors u of (W_out h_u + b_out) + c_out]
    h_v' = GRU(a_v, h_v)                r = σ(W_r a + U_r h),  z = σ(W_z a + U_z h),
                                        n = tanh(W_n a + r * (U_n h)),  h' = n + z * (h - n)

where a mean over nothing is zero, and the readout of a graph whose newest item is node l

    α_v = q · σ(W_1 h_l + W_2 h_v),     s = W_3 [sum over v of count_v α_v h_v ; h_l]
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from llmrg.encoding.geometric import Graphs, scatter


class GatedGraphCell(nn.Module):
    """One step of message passing along and against the edges.

    Args:
        hidden_size: D.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.along = nn.Linear(hidden_size, hidden_size)
        self.against = nn.Linear(hidden_size, hidden_size)
        self.along_bias = nn.Parameter(torch.empty(hidden_size))
        self.against_bias = nn.Parameter(torch.empty(hidden_size))
        self.gru = nn.GRUCell(2 * hidden_size, hidden_size)

    def forward(self, states: Tensor, edge_index: Tensor) -> Tensor:
        """Update the states of all nodes. Shape (V, D) in and out; edges (2, E), each once."""
        parents, children = edge_index
        size = len(states)
        received = scatter(self.along(states)[parents], children, 0, size, "mean")
        returned = scatter(self.against(states)[children], parents, 0, size, "mean")
        messages = torch.cat([received + self.along_bias, returned + self.against_bias], 1)
        updated: Tensor = self.gru(messages, states)
        return updated


class SRGNN(nn.Module):
    """Graphs as vectors.

    Args:
        hidden_size: D.
        num_steps: times the cell is applied; the authors use 1.
    """

    def __init__(self, hidden_size: int, *, num_steps: int = 1) -> None:
        super().__init__()
        self.num_steps = num_steps
        self.cell = GatedGraphCell(hidden_size)
        self.attend_last = nn.Linear(hidden_size, hidden_size)
        self.attend_node = nn.Linear(hidden_size, hidden_size)
        self.attention = nn.Linear(hidden_size, 1, bias=False)
        self.combine = nn.Linear(2 * hidden_size, hidden_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew from U(-1/√D, 1/√D), as the authors do."""
        bound = 1 / math.sqrt(self.attention.in_features)
        for weight in self.parameters():
            nn.init.uniform_(weight, -bound, bound)

    def forward(self, states: Tensor, graphs: Graphs) -> Tensor:
        """Encode G graphs.

        Args:
            states: of every node. Shape (V, D).
            graphs: `edge_index`, `batch`, `count` and `last` as `encoding.tensors` lays them out.

        Returns:
            Shape (G, D); zero where `last` is -1.
        """
        for _ in range(self.num_steps):
            states = self.cell(states, graphs.edge_index)
        ended = (graphs.last >= 0)[:, None]
        if len(states) == 0:
            return states.new_zeros(len(graphs.last), states.shape[1])
        last = states[graphs.last.clamp_min(0)]
        query = self.attend_last(last)[graphs.batch]
        weights = self.attention(torch.sigmoid(query + self.attend_node(states)))
        summed = scatter(graphs.count[:, None] * weights * states, graphs.batch, 0, len(last))
        encoded: Tensor = self.combine(torch.cat([summed, last], 1)).where(ended, 0.0)
        return encoded
