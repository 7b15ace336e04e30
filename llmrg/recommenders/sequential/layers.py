"""Parts that several sequential models are made of: item embeddings and the attention block."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llmrg.errors import ConfigError, DataError

EMBEDDING_STD = 0.02
"""Standard deviation of fresh embeddings: first logits stay small and the first softmax flat."""


class ItemEmbedding(nn.Module):
    """Items of a sequence as vectors that also know their place.

    Places are counted from the start of the sequence, so the vector of a cell depends on nothing
    after it, not even on how much follows. Row 0 of the item table, the padding, stays zero.

    Args:
        num_items: N, rows of the item table, padding included.
        hidden_size: D.
        max_length: longest sequence.
        dropout: share of the values dropped while training, 0 to 1.
    """

    def __init__(
        self, num_items: int, hidden_size: int, max_length: int, *, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.items = nn.Embedding(num_items, hidden_size, padding_idx=0)
        self.places = nn.Parameter(torch.empty(max_length, hidden_size))
        self.dropout = nn.Dropout(dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw both tables anew."""
        nn.init.normal_(self.places, std=EMBEDDING_STD)
        with torch.no_grad():
            self.items.weight.normal_(std=EMBEDDING_STD)[0].zero_()

    def forward(self, sequences: Tensor) -> Tensor:
        """Embed item indices of shape (B, L).

        Returns:
            Shape (B, L, D).

        Raises:
            DataError: if L is more than `max_length`.
        """
        length, longest = sequences.shape[1], len(self.places)
        if length > longest:
            raise DataError(
                f"expected sequences of at most {longest} items (got {length}); "
                "keep the newest ones, or build the model with a larger max_length"
            )
        embedded: Tensor = self.dropout(self.items(sequences) + self.places[:length])
        return embedded


class CausalBlock(nn.Module):
    """One pre-norm transformer layer in which a state sees itself and what came before.

    h = x + Attention(LayerNorm(x)),  y = h + W2 GELU(W1 LayerNorm(h)), dropout on both branches.
    W1 widens to 4 D.

    Args:
        hidden_size: D.
        num_heads: must divide D.
        dropout: share of the values dropped while training, 0 to 1; attention weights are kept.

    Raises:
        ConfigError: if `num_heads` does not divide `hidden_size`.
    """

    def __init__(self, hidden_size: int, num_heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        if hidden_size % num_heads:
            raise ConfigError(
                f"hidden_size {hidden_size} cannot be shared by {num_heads} heads; "
                "choose a num_heads that divides it"
            )
        self.num_heads = num_heads
        self.attention_norm = nn.LayerNorm(hidden_size)
        self.queries_keys_values = nn.Linear(hidden_size, 3 * hidden_size)
        self.attention_out = nn.Linear(hidden_size, hidden_size)
        self.feed_forward_norm = nn.LayerNorm(hidden_size)
        self.widen = nn.Linear(hidden_size, 4 * hidden_size)
        self.narrow = nn.Linear(4 * hidden_size, hidden_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor) -> Tensor:
        """Mix each state with earlier ones. Shape (B, L, D) in and out."""
        states = states + self.dropout(self._attend(self.attention_norm(states)))
        wide = F.gelu(self.widen(self.feed_forward_norm(states)))
        mixed: Tensor = states + self.dropout(self.narrow(wide))
        return mixed

    def _attend(self, states: Tensor) -> Tensor:
        batch, length, hidden = states.shape
        heads = self.queries_keys_values(states).view(batch, length, 3, self.num_heads, -1)
        queries, keys, values = heads.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        mixed: Tensor = self.attention_out(seen.transpose(1, 2).reshape(batch, length, hidden))
        return mixed
