from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from llmrg.errors import DataError
from llmrg.recommenders.sequential.losses import full_softmax


def example(targets: int = 7, items: int = 5, hidden: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(targets, hidden, generator=generator, dtype=torch.float64)
    table = torch.randn(items + 1, hidden, generator=generator, dtype=torch.float64)
    wanted = torch.randint(1, items + 1, (targets,), generator=generator)
    return states.requires_grad_(), table.requires_grad_(), wanted


@pytest.mark.parametrize("tile", [1, 3, 7, 100, None])
def test_value_and_gradients_are_those_of_plain_cross_entropy(tile: int | None) -> None:
    states, table, targets = example()
    expected = F.cross_entropy(states @ table[1:].T, targets - 1)
    wanted = torch.autograd.grad(3 * expected, (states, table))
    loss = full_softmax(states, table, targets, tile=tile)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(3 * loss, (states, table)), wanted)


def test_gradients_agree_with_finite_differences() -> None:
    states, table, targets = example(targets=4)
    assert torch.autograd.gradcheck(
        lambda s, t: full_softmax(s, t, targets, tile=3), (states, table), atol=1e-7
    )


def test_two_items_with_equal_scores_cost_log_2() -> None:
    table = torch.tensor([[9.0], [1.0], [1.0]])
    loss = full_softmax(torch.tensor([[5.0]]), table, torch.tensor([2]))
    assert loss.item() == pytest.approx(math.log(2))


def test_padding_neither_counts_nor_learns() -> None:
    states, table, targets = example()
    loss = full_softmax(states, table, targets)
    loud = table.detach().clone()
    loud[0] = 1000.0
    assert full_softmax(states, loud, targets).item() == loss.item()
    (gradient,) = torch.autograd.grad(loss, table)
    assert not gradient[0].any()


def test_huge_logits_stay_finite() -> None:
    states = torch.tensor([[1000.0]], requires_grad=True)
    loss = full_softmax(states, torch.tensor([[0.0], [1.0], [-1.0]]), torch.tensor([2]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 2000.0  # log(1 + e^-2000) + 1000 - (-1000)
    assert states.grad is not None
    assert states.grad.item() == 2.0  # the softmax is (1, 0), so 1 - (-1)


def test_no_matrix_of_logits_is_kept_for_the_backward_pass() -> None:
    states, table, targets = example(targets=50, items=40)
    kept: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        full_softmax(states, table, targets, tile=10)
    assert sorted(kept) == [41 * 3, 50 * 3]


def test_a_batch_without_targets_is_refused() -> None:
    states, table, targets = example()
    with pytest.raises(DataError, match="at least one target"):
        full_softmax(states[:0], table, targets[:0])
