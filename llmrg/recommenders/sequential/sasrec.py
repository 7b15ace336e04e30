"""SASRec: self-attention over a history, read from oldest to newest.

Paper:      Kang and McAuley, "Self-Attentive Sequential Recommendation", ICDM 2018,
            arXiv 1808.09781.
Reference:  github.com/kang205/SASRec (authors' TensorFlow code).
Differs:    trained with cross-entropy over the whole catalog, not one sampled negative;
            windows cover the whole history, not only its newest part;
            padded on the right, with places counted from the start of the window, so no state
            depends on what follows it (authors: padded on the left, places end at the window's);
            keys and values are normalized like queries, the feed-forward layer is 4 times as
            wide and uses GELU (authors: as wide as the states, ReLU), attention weights are not
            dropped, and item embeddings are not multiplied by the root of their size.
"""

from __future__ import annotations

from torch import Tensor, nn

from llmrg.recommenders.sequential.base import SequentialModel, SequentialRecommender
from llmrg.recommenders.sequential.layers import CausalBlock, ItemEmbedding


class SASRecModel(SequentialModel):
    """Embeddings, `num_layers` causal attention blocks, and a last normalization.

    Args:
        num_items: N, rows of the item table, padding included.
        hidden_size: D.
        num_layers: attention blocks.
        num_heads: attention heads of each block; must divide D.
        max_length: longest sequence; older items are not seen.
        dropout: share of the values dropped while training, 0 to 1.
    """

    def __init__(
        self,
        num_items: int,
        *,
        hidden_size: int = 64,
        num_layers: int = 2,
        num_heads: int = 1,
        max_length: int = 50,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(max_length)
        self.embedding = ItemEmbedding(num_items, hidden_size, max_length, dropout=dropout)
        self.blocks = nn.Sequential(
            *(CausalBlock(hidden_size, num_heads, dropout=dropout) for _ in range(num_layers))
        )
        self.norm = nn.LayerNorm(hidden_size)

    @property
    def item_table(self) -> Tensor:
        return self.embedding.items.weight

    def states(self, sequences: Tensor) -> Tensor:
        states: Tensor = self.norm(self.blocks(self.embedding(sequences)))
        return states


class SASRec(SequentialRecommender):
    """SASRec as a recommender; sizes are those of `SASRecModel`."""

    name = "sasrec"
    model_type = SASRecModel
