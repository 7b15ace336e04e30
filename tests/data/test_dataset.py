"""A data set counts, names and digests what it holds."""

from dataclasses import replace

import numpy as np
import pytest

from llmrg.data.bad_rows import BadRow
from llmrg.data.catalog import with_unique_titles
from llmrg.data.dataset import Dataset, check_name
from llmrg.data.interactions import Histories
from llmrg.errors import DataError
from llmrg.types import Interaction, ItemId, UserHistory, UserId


@pytest.fixture
def dataset() -> Dataset:
    histories = Histories(
        np.array(["ann", "bob"], dtype=object),
        np.array([0, 3, 4], dtype=np.int64),
        np.array([1, 2, 3, 2], dtype=np.int32),
        np.array([50, 60, 70, 10], dtype=np.int64),
    )
    catalog = with_unique_titles(["a", "b", "c"], ["Ä", "B", "C"], [(), (("year", "1995"),), ()])
    return Dataset("toy", histories, catalog, ((), (("gender", "male"),)), "small", (), 7)


def test_the_description_counts_by_hand(dataset: Dataset) -> None:
    assert dataset.describe() == {
        "name": "toy",
        "note": "small",
        "users": 2,
        "items": 3,
        "interactions": 4,
        "density": pytest.approx(4 / 6),
        "mean_length": 2.0,
        "median_length": 2.0,
        "duplicates": 7,
        "bad_rows": 0,
        "profiles": 1,
        "first_timestamp": 10,
        "last_timestamp": 70,
    }


def test_without_timestamps_there_is_no_first_and_last(dataset: Dataset) -> None:
    untimed = replace(dataset, histories=replace(dataset.histories, timestamps=None))
    assert untimed.describe()["first_timestamp"] is None
    assert untimed.digest() != dataset.digest()


def test_the_digest_follows_the_content_and_not_the_label(dataset: Dataset) -> None:
    histories, catalog = dataset.histories, dataset.catalog
    relabeled = replace(dataset, name="x", note="", bad_rows=(BadRow("f", 1, "p"),), duplicates=0)
    assert relabeled.digest() == dataset.digest()
    swapped = np.array([2, 1, 3, 2], dtype=np.int32)
    later = np.array([50, 60, 71, 10], dtype=np.int64)
    shifted = np.array([0, 2, 4], dtype=np.int64)
    renamed = np.array(["ann", "bo"], dtype=object)
    changed = [
        replace(dataset, histories=replace(histories, items=swapped)),
        replace(dataset, histories=replace(histories, timestamps=later)),
        replace(dataset, histories=replace(histories, offsets=shifted)),
        replace(dataset, histories=replace(histories, user_ids=renamed)),
        replace(dataset, profiles=((), ())),
        replace(dataset, catalog=with_unique_titles(["a", "b", "c"], ["A", "B", "C"], [()] * 3)),
        replace(dataset, catalog=replace(catalog, items=catalog.items[::-1])),
    ]
    assert len({dataset.digest(), *(other.digest() for other in changed)}) == len(changed) + 1


def test_a_user_history_names_items_oldest_first(dataset: Dataset) -> None:
    assert dataset.row_of == {"ann": 0, "bob": 1}
    assert dataset.user_history(1) == UserHistory(
        UserId("bob"), (Interaction(ItemId("b"), 10),), (("gender", "male"),)
    )
    train = dataset.histories.head(np.array([2, 1]))
    ann = dataset.user_history(0, train)
    assert ann.interactions == (Interaction(ItemId("a"), 50), Interaction(ItemId("b"), 60))
    unknown = replace(dataset, profiles=(), histories=replace(dataset.histories, timestamps=None))
    assert unknown.user_history(1) == UserHistory(UserId("bob"), (Interaction(ItemId("b")),))


@pytest.mark.parametrize("name", ["ml-1m", "A.b_c-9", "x" * 64, "...a"])
def test_a_plain_name_may_become_a_file_name(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "a b", "a/b", "..", ".", "x" * 65, "ä", "a\n", "a\0"])
def test_any_other_name_is_refused(name: str) -> None:
    with pytest.raises(DataError, match="use 1 to 64 of the characters"):
        check_name(name)
