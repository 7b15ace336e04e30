from __future__ import annotations

import numpy as np
import pytest

from llmrg.data.interactions import Histories
from llmrg.data.profiles import count_profiles
from llmrg.data.transitions import count_transitions, folds_of


@pytest.fixture
def histories():
    users = np.array(["a", "b"], dtype=object)
    items = np.array([1, 2, 3, 2, 3], dtype=np.int32)
    return Histories(users, np.array([0, 3, 5]), items)


def test_transitions_weigh_pairs_by_distance_and_stop_at_the_user(histories):
    counts = count_transitions(histories, 4, window=2).toarray()
    expected = np.zeros((4, 4))
    expected[1, 2] = 1.0  # user a
    expected[2, 3] = 2.0  # users a and b
    expected[1, 3] = 0.5  # user a, two apart
    np.testing.assert_array_equal(counts, expected)


def test_unweighted_transitions_count_every_pair_once(histories):
    counts = count_transitions(histories, 4, window=2, weighted=False).toarray()
    assert counts[1, 3] == 1.0
    assert counts[2, 3] == 2.0


def test_a_users_fold_depends_on_the_user_id_alone():
    alone = folds_of(np.array(["u7"], dtype=object), 5)[0]
    among = folds_of(np.array([f"u{i}" for i in range(100)], dtype=object), 5)
    assert among[7] == alone
    assert set(among.tolist()) == {0, 1, 2, 3, 4}


def test_profiles_count_the_users_who_took_each_item(histories):
    texts, counts = count_profiles(histories, [(("age", "25"),), (("age", "25"), ("sex", "F"))], 4)
    assert texts == ["age: 25", "sex: F"]
    np.testing.assert_array_equal(counts.toarray(), [[0, 1, 2, 2], [0, 0, 1, 1]])


def test_users_without_profiles_count_nothing(histories):
    texts, counts = count_profiles(histories, [(), ()], 4)
    assert texts == []
    assert counts.shape == (0, 4)
