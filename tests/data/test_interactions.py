"""Histories answer like plain lists of lists."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrg.data.interactions import Histories

LISTS = st.lists(st.lists(st.integers(1, 9), max_size=6), min_size=1, max_size=6)


def histories_of(lists: list[list[int]], *, timed: bool = True) -> Histories:
    items = [item for history in lists for item in history]
    offsets = np.cumsum([0, *(len(history) for history in lists)]).astype(np.int64)
    times = np.array([100 * t for history in lists for t in range(len(history))], dtype=np.int64)
    names = np.array([f"user {row}" for row in range(len(lists))], dtype=object)
    return Histories(names, offsets, np.array(items, dtype=np.int32), times if timed else None)


def as_lists(histories: Histories) -> list[list[int]]:
    return [histories.of(row).tolist() for row in range(len(histories))]


def test_a_user_owns_the_rows_between_two_offsets() -> None:
    histories = histories_of([[5, 6], [], [7, 8, 9]])
    assert as_lists(histories) == [[5, 6], [], [7, 8, 9]]
    assert histories.lengths.tolist() == [2, 0, 3]
    assert histories.rows_of_users().tolist() == [0, 0, 2, 2, 2]
    assert histories.num_interactions == 5
    times = histories.times_of(2)
    assert times is not None
    assert times.tolist() == [0, 100, 200]


def test_without_timestamps_there_are_none_to_give() -> None:
    histories = histories_of([[5, 6]], timed=False)
    assert histories.times_of(0) is None
    assert histories.head(np.array([1])).timestamps is None


@settings(deadline=None)
@given(LISTS, st.data())
def test_head_keeps_the_first_items_of_every_user(
    lists: list[list[int]], data: st.DataObject
) -> None:
    lengths = data.draw(st.lists(st.integers(0, 8), min_size=len(lists), max_size=len(lists)))
    head = histories_of(lists).head(np.array(lengths, dtype=np.int64))
    assert as_lists(head) == [items[:n] for items, n in zip(lists, lengths, strict=True)]
    for row, items in enumerate(as_lists(head)):
        times = head.times_of(row)
        assert times is not None
        assert times.tolist() == [100 * t for t in range(len(items))]


@settings(deadline=None)
@given(LISTS, st.integers(0, 8))
def test_tail_keeps_the_last_items_of_every_user(lists: list[list[int]], length: int) -> None:
    tail = histories_of(lists).tail(length)
    assert as_lists(tail) == [items[max(len(items) - length, 0) :] for items in lists]


@settings(deadline=None)
@given(LISTS, st.data())
def test_select_keeps_users_in_the_order_given(lists: list[list[int]], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=8))
    chosen = histories_of(lists).select(np.array(rows, dtype=np.int64))
    assert as_lists(chosen) == [lists[row] for row in rows]
    assert chosen.user_ids.tolist() == [f"user {row}" for row in rows]


@settings(deadline=None)
@given(LISTS, st.data())
def test_select_takes_a_mask(lists: list[list[int]], data: st.DataObject) -> None:
    mask = data.draw(st.lists(st.booleans(), min_size=len(lists), max_size=len(lists)))
    chosen = histories_of(lists).select(np.array(mask, dtype=bool))
    assert as_lists(chosen) == [items for items, kept in zip(lists, mask, strict=True) if kept]


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_cuts_can_follow_one_another(cut: int) -> None:
    histories = histories_of([[1, 2, 3], [4, 5, 6]])
    chosen = histories.select(np.array([1, 0])).head(np.array([cut, 3]))
    assert as_lists(chosen) == [[4, 5, 6][:cut], [1, 2, 3]]
