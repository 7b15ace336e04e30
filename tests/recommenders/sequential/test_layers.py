from __future__ import annotations

import pytest
import torch

from llmrg.errors import ConfigError, DataError
from llmrg.recommenders.sequential.layers import CausalBlock, ItemEmbedding


def test_an_embedded_item_is_its_vector_plus_that_of_its_place() -> None:
    embedding = ItemEmbedding(num_items=4, hidden_size=2, max_length=3)
    items, places = embedding.items.weight, embedding.places
    expected = torch.stack([items[3] + places[0], items[1] + places[1]])
    torch.testing.assert_close(embedding(torch.tensor([[3, 1]]))[0], expected)


def test_the_padding_row_starts_as_zeros_and_the_others_do_not() -> None:
    rows = ItemEmbedding(num_items=4, hidden_size=8, max_length=3).items.weight.abs().sum(1)
    assert (rows > 0).tolist() == [False, True, True, True]


def test_a_sequence_that_is_too_long_is_refused_with_both_lengths() -> None:
    embedding = ItemEmbedding(num_items=4, hidden_size=2, max_length=3)
    with pytest.raises(DataError, match=r"at most 3 items \(got 4\)"):
        embedding(torch.tensor([[1, 2, 3, 1]]))


def test_heads_that_do_not_divide_the_hidden_size_are_refused() -> None:
    with pytest.raises(ConfigError, match="hidden_size 10 cannot be shared by 3 heads"):
        CausalBlock(hidden_size=10, num_heads=3)


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    block = CausalBlock(hidden_size=8, num_heads=2, dropout=0.5)
    states = torch.randn(1, 4, 8)
    assert not torch.equal(block(states), block(states))
    block.eval()
    assert torch.equal(block(states), block(states))
