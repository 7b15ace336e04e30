"""Both splits, worked by hand, and the promise that nothing held out is in training."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrg.data.interactions import Histories
from llmrg.data.splits import SPLITS, Cases, global_time, leave_one_out
from llmrg.errors import ConfigError, DataError

Timed = dict[str, list[tuple[int, int]]]
"""user_id → (item, timestamp), oldest first."""


def histories_of(users: Timed, *, timed: bool = True) -> Histories:
    pairs = [pair for history in users.values() for pair in history]
    return Histories(
        np.array(list(users), dtype=object),
        np.cumsum([0, *map(len, users.values())]).astype(np.int64),
        np.array([item for item, _ in pairs], dtype=np.int32),
        np.array([time for _, time in pairs], dtype=np.int64) if timed else None,
    )


def as_dict(histories: Histories) -> dict[str, list[int]]:
    return {user: histories.of(row).tolist() for row, user in enumerate(histories.user_ids)}


def questions(cases: Cases) -> dict[str, tuple[list[int], int]]:
    targets = dict(zip(cases.histories.user_ids, cases.targets.tolist(), strict=True))
    return {user: (seen, targets[user]) for user, seen in as_dict(cases.histories).items()}


@st.composite
def users(draw: st.DrawFn) -> Timed:
    """Up to 6 users who take different items at times that never go back."""
    made = {}
    for row in range(draw(st.integers(1, 6))):
        items = draw(st.lists(st.integers(1, 30), max_size=8, unique=True))
        times = sorted(draw(st.integers(0, 20)) for _ in items)
        made[f"u{row}"] = list(zip(items, times, strict=True))
    return made


def test_leave_one_out_holds_out_the_last_two_items() -> None:
    split = leave_one_out(
        histories_of({"a": [(1, 0), (2, 1), (3, 2), (4, 3)], "b": [(5, 0), (6, 1)]})
    )
    assert as_dict(split.train) == {"a": [1, 2], "b": [5, 6]}
    assert questions(split.valid) == {"a": ([1, 2], 3)}
    assert questions(split.test) == {"a": ([1, 2, 3], 4)}


def test_three_interactions_are_enough_to_be_tested() -> None:
    split = leave_one_out(histories_of({"a": [(1, 0), (2, 1), (3, 2)]}))
    assert as_dict(split.train) == {"a": [1]}
    assert len(split.valid) == len(split.test) == 1


def test_leave_one_out_without_a_user_to_test_is_an_error() -> None:
    with pytest.raises(DataError, match="at least 3 interactions"):
        leave_one_out(histories_of({"a": [(1, 0), (2, 1)]}))


@settings(deadline=None)
@given(users())
def test_leave_one_out_never_trains_on_a_held_out_item(made: Timed) -> None:
    if max(map(len, made.values())) < 3:
        return
    split = leave_one_out(histories_of(made))
    train = as_dict(split.train)
    assert list(train) == list(made)
    for cases, held_out in ((split.valid, 2), (split.test, 1)):
        for user, (seen, target) in questions(cases).items():
            items = [item for item, _ in made[user]]
            assert target not in train[user]
            assert seen == items[:-held_out]
            assert target == items[-held_out]


def ten_in_a_row() -> Timed:
    """Ten interactions at seconds 0 to 9: the last two shares of 0.2 begin at seconds 6 and 8."""
    return {
        "a": [(1, 0), (2, 3), (3, 6), (4, 8), (5, 9)],
        "b": [(1, 1), (3, 4), (2, 7)],
        "c": [(4, 2), (6, 5)],
    }


def test_global_time_cuts_everybody_at_the_same_moments() -> None:
    split = global_time(histories_of(ten_in_a_row()), valid=0.2, test=0.2)
    assert split.time_cut == 5
    assert as_dict(split.train) == {"a": [1, 2], "b": [1, 3], "c": [4, 6]}
    assert questions(split.valid) == {"a": ([1, 2], 3), "b": ([1, 3], 2)}
    assert questions(split.test) == {"a": ([1, 2, 3], 4)}


def test_interactions_of_one_second_never_straddle_a_cut() -> None:
    # In order: 0 1 2 3 4 5 5 6 6 6. The last fifth begins at the second 6 and the fifth before it
    # at the second 5: whole seconds belong to the later side.
    made = {
        "a": [(1, 0), (2, 2), (3, 4), (4, 6), (5, 6)],
        "b": [(1, 1), (2, 3), (3, 5), (4, 5), (5, 6)],
    }
    split = global_time(histories_of(made), valid=0.2, test=0.2)
    assert as_dict(split.train) == {"a": [1, 2, 3], "b": [1, 2]}
    assert questions(split.valid) == {"b": ([1, 2], 3)}
    assert questions(split.test) == {"a": ([1, 2, 3], 4), "b": ([1, 2, 3, 4], 5)}


def test_a_user_first_seen_in_a_period_is_not_a_case_of_it() -> None:
    made = ten_in_a_row() | {"d": [(7, 9)]}
    split = global_time(histories_of(made), valid=0.2, test=0.2)
    assert "d" not in questions(split.test)
    assert as_dict(split.train)["d"] == []


def test_shares_that_miss_a_whole_number_in_their_last_binary_digit_are_rounded_to_it() -> None:
    # 100 * (1 - (0.3 + 0.25)) is 44.99999999999999 in binary; 45 rows come before.
    made = {"a": [(item, item) for item in range(1, 101)]}
    split = global_time(histories_of(made), valid=0.3, test=0.25)
    assert split.train.num_interactions == 45
    assert questions(split.valid)["a"][1] == 46
    assert questions(split.test)["a"][1] == 76


@settings(deadline=None)
@given(users(), st.sampled_from([0.1, 0.2, 0.3]), st.sampled_from([0.1, 0.2, 0.3]))
def test_global_time_trains_only_on_what_came_before_every_target(
    made: Timed, valid: float, test: float
) -> None:
    try:
        split = global_time(histories_of(made), valid=valid, test=test)
    except DataError:
        return
    assert split.time_cut is not None
    assert split.train.timestamps is not None
    assert (split.train.timestamps <= split.time_cut).all()
    train = as_dict(split.train)
    for cases in (split.valid, split.test):
        assert cases.histories.timestamps is not None
        for user, (seen, target) in questions(cases).items():
            assert target not in train[user]
            moment = dict(made[user])[target]
            assert moment > split.time_cut
            assert seen == [item for item, time in made[user] if time < moment or item in seen]
            assert seen == [item for item, _ in made[user]][: len(seen)]


def test_empty_histories_cannot_be_cut_in_time() -> None:
    with pytest.raises(DataError, match="histories are empty"):
        global_time(histories_of({"a": []}))


def test_global_time_needs_timestamps() -> None:
    with pytest.raises(DataError, match="needs timestamps"):
        global_time(histories_of(ten_in_a_row(), timed=False))


def test_global_time_says_which_period_is_empty() -> None:
    alone = {"a": [(1, 0)], "b": [(2, 1)], "c": [(3, 2)]}
    with pytest.raises(DataError, match="before and in the validation period"):
        global_time(histories_of(alone), valid=0.3, test=0.3)


@pytest.mark.parametrize(("valid", "test"), [(0.0, 0.1), (0.1, 0.0), (0.5, 0.5), (0.1, 1.0)])
def test_global_time_refuses_shares_that_leave_a_part_empty(valid: float, test: float) -> None:
    with pytest.raises(ConfigError, match="together below 1"):
        global_time(histories_of(ten_in_a_row()), valid=valid, test=test)


def test_the_cut_depends_on_the_training_part_alone() -> None:
    first = leave_one_out(histories_of({"a": [(1, 0), (2, 1), (3, 2), (4, 3)]}))
    other_future = leave_one_out(histories_of({"a": [(1, 0), (2, 1), (8, 2), (9, 3)]}))
    other_past = leave_one_out(histories_of({"a": [(7, 0), (2, 1), (3, 2), (4, 3)]}))
    assert first.cut() == other_future.cut()
    assert first.cut() != other_past.cut()
    assert first.cut().startswith("leave_one_out:")


def test_every_split_is_found_by_its_name() -> None:
    for name, split in SPLITS.items():
        assert split(histories_of({"a": [(i, i) for i in range(1, 11)]})).name == name
