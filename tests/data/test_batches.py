"""Windows, batches and padding, on histories small enough to write down."""

from __future__ import annotations

import numpy as np
import pytest

from llmrg.data.batches import Windows, cut_windows, pad_histories
from llmrg.data.interactions import Histories
from llmrg.errors import DataError


def histories(*users: list[int]) -> Histories:
    offsets = np.cumsum([0, *map(len, users)])
    items = np.array([item for user in users for item in user], dtype=np.int32)
    return Histories(np.array([f"u{u}" for u in range(len(users))], dtype=object), offsets, items)


def random_histories(seed: int, num_users: int) -> Histories:
    rng = np.random.default_rng(seed)
    return histories(*(rng.integers(1, 99, rng.integers(0, 40)).tolist() for _ in range(num_users)))


def pairs_of(windows: Windows, seed: int, max_tokens: int) -> list[tuple[int, int, int, int]]:
    """Every trained cell of an epoch as (user row, prefix, input, target)."""
    return [
        (
            int(batch.rows[b]),
            *(int(x[b, t]) for x in (batch.prefixes, batch.sequences, batch.targets)),
        )
        for batch in windows.epoch(np.random.default_rng(seed), max_tokens=max_tokens)
        for b, t in np.argwhere(batch.targets > 0)
    ]


def test_all_windows_fill_the_newest_first_and_share_no_target() -> None:
    windows = cut_windows(histories([1, 2, 3, 4, 5, 6], [7], [8, 9]), 2)
    assert windows.rows.tolist() == [0, 0, 0, 2]
    assert windows.firsts.tolist() == [3, 1, 0, 0]
    assert windows.lengths.tolist() == [2, 2, 1, 1]
    assert windows.num_targets == 6


def test_last_windows_hold_the_newest_inputs_of_each_user() -> None:
    windows = cut_windows(histories([1, 2, 3, 4, 5, 6], [7], [8, 9]), 2, coverage="last")
    assert (windows.rows.tolist(), windows.firsts.tolist()) == ([0, 2], [3, 0])
    assert windows.lengths.tolist() == [2, 1]


def test_a_batch_is_padded_on_the_right_and_says_which_prefix_each_cell_stands_for() -> None:
    windows = cut_windows(histories([1, 2, 3, 4, 5, 6], [8, 9]), 3)
    batch = windows.batch(np.array([0, 2]))
    assert batch.rows.tolist() == [0, 1]
    assert batch.sequences.tolist() == [[3, 4, 5], [8, 0, 0]]
    assert batch.targets.tolist() == [[4, 5, 6], [9, 0, 0]]
    assert batch.prefixes.tolist() == [[3, 4, 5], [1, 0, 0]]
    assert batch.cells.tolist() == [0, 1, 2, 3]
    assert batch.sequences.dtype == batch.targets.dtype == batch.prefixes.dtype == np.int64


@pytest.mark.parametrize("max_length", [1, 7, 100])
def test_an_epoch_trains_every_target_once_with_its_true_predecessor(max_length: int) -> None:
    data = random_histories(seed=1, num_users=50)
    expected = sorted(
        (row, n, int(data.of(row)[n - 1]), int(data.of(row)[n]))
        for row in range(len(data))
        for n in range(1, len(data.of(row)))
    )
    assert sorted(pairs_of(cut_windows(data, max_length), 0, max_tokens=64)) == expected


def test_batches_stay_within_the_token_budget_and_hold_similar_lengths() -> None:
    windows = cut_windows(random_histories(seed=2, num_users=300), 40)
    batches = list(windows.epoch(np.random.default_rng(0), max_tokens=256))
    assert max(batch.sequences.size for batch in batches) <= 256
    cells = sum(batch.sequences.size for batch in batches)
    assert windows.num_targets / cells > 0.85


def test_a_window_longer_than_the_budget_comes_alone() -> None:
    windows = cut_windows(histories([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]), 50)
    shapes = [
        batch.sequences.shape for batch in windows.epoch(np.random.default_rng(0), max_tokens=2)
    ]
    assert shapes == [(1, 4), (1, 4)]


def test_the_generator_alone_decides_the_order_of_an_epoch() -> None:
    windows = cut_windows(random_histories(seed=3, num_users=60), 20)
    assert pairs_of(windows, 5, max_tokens=128) == pairs_of(windows, 5, max_tokens=128)
    assert pairs_of(windows, 5, max_tokens=128) != pairs_of(windows, 6, max_tokens=128)


def test_each_epoch_mixes_windows_and_lengths_anew() -> None:
    windows = cut_windows(random_histories(seed=4, num_users=200), 40)
    batches = list(windows.epoch(np.random.default_rng(0), max_tokens=128))
    others = list(windows.epoch(np.random.default_rng(1), max_tokens=128))
    lengths = [batch.sequences.shape[1] for batch in batches]
    assert abs(np.corrcoef(lengths, np.arange(len(lengths)))[0, 1]) < 0.5  # -0.98 when sorted
    companies = {frozenset(batch.rows.tolist()) for batch in batches}
    assert len(companies & {frozenset(batch.rows.tolist()) for batch in others}) < 5


def test_histories_without_a_single_target_are_refused() -> None:
    with pytest.raises(DataError, match="two items"):
        cut_windows(histories([1], [], [2]), 5)


def test_inference_reads_the_newest_items_padded_on_the_right() -> None:
    padded = pad_histories(histories([1, 2, 3, 4], [], [5]), 3)
    assert padded.tolist() == [[2, 3, 4], [0, 0, 0], [5, 0, 0]]
    assert padded.dtype == np.int64


def test_users_without_any_history_still_have_a_row() -> None:
    assert pad_histories(histories([], []), 3).tolist() == [[0], [0]]
