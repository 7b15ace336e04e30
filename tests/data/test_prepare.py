"""Order, duplicates, k-core and the catalogue, each worked by hand on a few rows."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrg.data.bad_rows import BadRows
from llmrg.data.dataset import Dataset
from llmrg.data.prepare import k_core, prepare
from llmrg.data.source import Log, Source
from llmrg.errors import ConfigError, DataError
from llmrg.types import Item, ItemId

Rows = list[tuple[str, str, float]]
PAIRS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=30, unique=True)


def log_of(rows: Rows, *, timed: bool = True, positions: list[float] | None = None) -> Log:
    users, items, times = zip(*rows, strict=True)
    return Log(
        "interactions.csv",
        np.arange(2, len(rows) + 2),
        pa.chunked_array([pa.array(users, pa.string())]),
        pa.chunked_array([pa.array(items, pa.string())]),
        np.array(times) if timed else None,
        None if positions is None else np.array(positions),
    )


def items_of(*item_ids: str) -> dict[str, Item]:
    return {item_id: Item(ItemId(item_id), item_id.upper()) for item_id in item_ids}


def prepared(source: Source, minimum: int = 0, *, skip: bool = False) -> Dataset:
    return prepare(source, BadRows(skip=skip), name="test", min_interactions=minimum)


def ids_by_user(dataset: Dataset) -> dict[str, list[str]]:
    return {
        user: [dataset.catalog.item(index).item_id for index in dataset.histories.of(row).tolist()]
        for user, row in dataset.row_of.items()
    }


def test_histories_are_in_order_of_time_and_equal_times_keep_file_order() -> None:
    rows = [("u", "d", 5.0), ("u", "b", 1.0), ("v", "a", 0.0), ("u", "c", 1.0), ("u", "a", 1.0)]
    dataset = prepared(Source(log_of(rows)))
    assert ids_by_user(dataset) == {"u": ["b", "c", "a", "d"], "v": ["a"]}
    times = dataset.histories.times_of(0)
    assert times is not None
    assert times.tolist() == [1, 1, 1, 5]


def test_a_position_decides_before_the_timestamp() -> None:
    rows = [("u", "a", 1.0), ("u", "b", 1.0), ("u", "c", 1.0)]
    dataset = prepared(Source(log_of(rows, positions=[2.0, 0.0, 1.0])))
    assert ids_by_user(dataset) == {"u": ["b", "c", "a"]}


def test_without_timestamps_the_file_is_the_order() -> None:
    rows = [("u", "b", 0.0), ("v", "a", 0.0), ("u", "a", 0.0)]
    dataset = prepared(Source(log_of(rows, timed=False)))
    assert ids_by_user(dataset) == {"u": ["b", "a"], "v": ["a"]}
    assert dataset.histories.timestamps is None


def test_a_position_that_contradicts_the_timestamps_is_an_error() -> None:
    rows = [("u", "a", 7.0), ("u", "b", 3.0)]
    with pytest.raises(DataError, match=r"row 3: its position puts it after row 2, its timestamp"):
        prepared(Source(log_of(rows, positions=[0.0, 1.0])))


def test_of_duplicates_the_first_in_time_stays_and_the_others_are_counted() -> None:
    rows = [("u", "a", 9.0), ("u", "b", 5.0), ("u", "a", 1.0), ("u", "a", 5.0), ("v", "a", 2.0)]
    dataset = prepared(Source(log_of(rows)))
    assert ids_by_user(dataset) == {"u": ["a", "b"], "v": ["a"]}
    assert dataset.duplicates == 2
    times = dataset.histories.times_of(0)
    assert times is not None
    assert times.tolist() == [1, 5]


def test_removing_an_item_may_remove_a_user_and_then_another_item() -> None:
    # At 2: item c has one user, so w keeps only b and goes; b then has one user and goes, too.
    rows = [(u, i, 0.0) for u, i in ("ua", "ud", "va", "vd", "vb", "wb", "wc")]
    dataset = prepared(Source(log_of(rows)), 2)
    assert ids_by_user(dataset) == {"u": ["a", "d"], "v": ["a", "d"]}
    assert [item.item_id for item in dataset.catalog.items] == ["a", "d"]


@settings(deadline=None)
@given(PAIRS, st.integers(0, 4))
def test_the_k_core_is_what_removing_one_by_one_leaves(
    pairs: list[tuple[int, int]], k: int
) -> None:
    left = list(pairs)
    while True:
        users, items = Counter(u for u, _ in left), Counter(i for _, i in left)
        weak = [pair for pair in left if users[pair[0]] < k or items[pair[1]] < k]
        if not weak:
            break
        left.remove(weak[0])
    codes = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    kept = k_core(codes[:, 0], codes[:, 1], k)
    assert [pair for pair, stays in zip(pairs, kept, strict=True) if stays] == left


def test_an_empty_k_core_says_how_to_get_a_larger_one() -> None:
    with pytest.raises(DataError, match=r"no interaction is left of 1 .* need 5; lower min_inter"):
        prepared(Source(log_of([("u", "a", 0.0)])), 5)


def test_a_negative_minimum_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"0 or more \(got -1\)"):
        prepared(Source(log_of([("u", "a", 0.0)])), -1)


def test_items_come_in_the_order_of_their_table() -> None:
    source = Source(log_of([("u", "a", 0.0), ("u", "c", 1.0)]), items_of("c", "b", "a"))
    dataset = prepared(source)
    assert [item.title for item in dataset.catalog.items] == ["C", "A"]
    assert dataset.histories.items.tolist() == [2, 1]
    assert dataset.histories.items.dtype == np.int32


@pytest.mark.parametrize(
    ("item_ids", "expected"),
    [(["10", "9", "2"], ["2", "9", "10"]), (["10", "9", "x"], ["10", "9", "x"])],
)
def test_items_without_a_table_come_by_number_or_else_as_text(
    item_ids: list[str], expected: list[str]
) -> None:
    dataset = prepared(Source(log_of([("u", item_id, 0.0) for item_id in item_ids])))
    assert [item.item_id for item in dataset.catalog.items] == expected
    assert [item.title for item in dataset.catalog.items] == expected
    assert ids_by_user(dataset) == {"u": item_ids}


def test_an_item_missing_from_the_table_is_named_with_its_row() -> None:
    source = Source(log_of([("u", "a", 0.0), ("u", "x", 1.0)]), items_of("a"))
    with pytest.raises(DataError, match=r"interactions.csv, row 3: unknown item 'x'; add it to"):
        prepared(source)
    dataset = prepared(source, skip=True)
    assert ids_by_user(dataset) == {"u": ["a"]}
    assert [(bad.row, bad.problem) for bad in dataset.bad_rows] == [(3, "unknown item 'x'")]


def test_profiles_stand_in_the_rows_of_their_users() -> None:
    log = log_of([("u", "a", 0.0), ("v", "a", 0.0)])
    dataset = prepared(Source(log, None, {"v": (("age", "25-34"),), "stranger": ()}))
    assert dataset.profiles == ((), (("age", "25-34"),))
