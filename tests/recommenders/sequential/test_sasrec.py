from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from contracts.recommender import catalog_of, histories_of
from contracts.sequential import CYCLE_TRAINING, SequentialContract
from torch import Tensor, nn

from llmrg.errors import ConfigError, DataError, NotFittedError
from llmrg.recommenders.sequential.base import SequentialRecommender
from llmrg.recommenders.sequential.layers import CausalBlock
from llmrg.recommenders.sequential.sasrec import SASRec, SASRecModel


class TestSASRec(SequentialContract):
    @classmethod
    def make(cls, **changes: Any) -> SequentialRecommender:
        sizes: dict[str, Any] = {"hidden_size": 16, "num_heads": 2, "max_length": 8}
        return SASRec(**{**sizes, "training": CYCLE_TRAINING, **changes})


def plain_block(block: CausalBlock, states: Tensor) -> Tensor:
    """The same layer from torch's own attention and an explicit mask: no code in common."""
    hidden, length = states.shape[-1], states.shape[1]
    attention = nn.MultiheadAttention(hidden, block.num_heads, batch_first=True)
    with torch.no_grad():
        attention.in_proj_weight.copy_(block.queries_keys_values.weight)
        attention.in_proj_bias.copy_(block.queries_keys_values.bias)
        attention.out_proj.load_state_dict(block.attention_out.state_dict())
    normed = block.attention_norm(states)
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    states = states + attention(normed, normed, normed, attn_mask=future, need_weights=True)[0]
    return states + block.narrow(F.gelu(block.widen(block.feed_forward_norm(states))))


@pytest.mark.parametrize("num_heads", [1, 2, 4])
def test_states_agree_with_plain_torch_attention_and_an_explicit_mask(num_heads: int) -> None:
    torch.manual_seed(0)
    model = SASRecModel(20, hidden_size=16, num_layers=1, num_heads=num_heads, max_length=9).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)  # fresh weights would hide a missing bias or norm
    sequences = torch.randint(1, 20, (3, 9))
    (block,) = model.blocks
    assert isinstance(block, CausalBlock)
    embedded = model.embedding.items.weight[sequences] + model.embedding.places
    with torch.no_grad():
        expected = model.norm(plain_block(block, embedded))
        torch.testing.assert_close(model.states(sequences), expected, rtol=1e-5, atol=1e-5)


def test_an_unknown_size_is_refused_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="no setting 'hiden_size'; did you mean 'hidden_size'"):
        SASRec(hiden_size=32)


def test_an_unknown_coverage_is_refused() -> None:
    coverage: Any = "most"
    with pytest.raises(ConfigError, match=r"one of \('last', 'all'\) \(got 'most'\)"):
        SASRec(coverage=coverage)


def test_a_model_that_reads_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"max_length must be at least 1 \(got 0\)"):
        SASRecModel(5, max_length=0)


def test_histories_of_one_item_teach_nothing_and_leave_it_unfitted() -> None:
    recommender = SASRec(training=CYCLE_TRAINING)
    with pytest.raises(DataError, match="two items"):
        recommender.fit(histories_of([1], [2]), catalog_of(4))
    with pytest.raises(NotFittedError):
        recommender.score(histories_of([1]))
