"""Which part of a history may be learned from, and which items are held out to be predicted."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llmrg.data.interactions import Histories, IntArray
from llmrg.errors import ConfigError, DataError


@dataclass(frozen=True, eq=False)
class Cases:
    """Questions with a known answer: a history and the one item that came next.

    Attributes:
        histories: what the recommender may see. C users.
        targets: the held-out item of each. Shape (C,), int32.
    """

    histories: Histories
    targets: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, eq=False)
class Split:
    """Training histories and two sets of held-out cases.

    Attributes:
        name: "leave_one_out" or "global_time".
        train: what models, graphs, statistics and the knowledge base may learn from. All U users.
        valid: cases for choosing; their histories are the training histories.
        test: cases for reporting; their histories also hold what became known since.
        time_cut: last second of the training part, for a global-time split.
    """

    name: str
    train: Histories
    valid: Cases
    test: Cases
    time_cut: int | None = None

    def cut(self) -> str:
        """A name for what was known at training time: split name and digest of the training part.

        It does not change when held-out items do, so it can be written into anything built from
        training data.
        """
        hasher = hashlib.sha256(self.name.encode())
        hasher.update("\0".join(self.train.user_ids.tolist()).encode("utf-8", "surrogatepass"))
        hasher.update(self.train.offsets.tobytes())
        hasher.update(self.train.items.tobytes())
        return f"{self.name}:{hasher.hexdigest()[:16]}"


def leave_one_out(histories: Histories) -> Split:
    """Hold out each user's last item for testing and the one before it for validation.

    Users with fewer than three interactions are trained on whole and never tested.

    Raises:
        DataError: if no user has three interactions.
    """
    lengths = histories.lengths
    tested = lengths >= 3
    if not tested.any():
        raise DataError("leave_one_out needs users with at least 3 interactions; found none")
    known = np.where(tested, lengths - 2, lengths)
    last = histories.offsets[1:] - 1
    valid_history = histories.head(known).select(tested)
    test_history = histories.head(np.where(tested, lengths - 1, lengths)).select(tested)
    return Split(
        name="leave_one_out",
        train=histories.head(known),
        valid=Cases(valid_history, histories.items[last[tested] - 1]),
        test=Cases(test_history, histories.items[last[tested]]),
    )


def global_time(histories: Histories, *, valid: float = 0.1, test: float = 0.1) -> Split:
    """Cut all histories at two moments: the same "now" for everybody, as in production.

    The last `test` share of all interactions by time is the test period, the `valid` share before
    it the validation period. A case is a user's first interaction inside a period, provided the
    user was seen before it. Interactions of one second never straddle a cut.

    Args:
        valid, test: shares of all interactions, each above 0 and together below 1.

    Raises:
        ConfigError: if the shares leave a part empty.
        DataError: if there are no timestamps, or a period is left without cases.
    """
    if valid <= 0 or test <= 0 or valid + test >= 1:
        raise ConfigError(
            "global_time needs valid and test above 0 and together below 1 "
            f"(got {valid} and {test})"
        )
    times = histories.timestamps
    if times is None:
        raise DataError("global_time needs timestamps; these interactions have only an order")
    if not len(times):
        raise DataError("global_time needs interactions; these histories are empty")
    ordered = np.sort(times)
    valid_cut = int(ordered[_first_of_last(len(ordered), valid + test)])
    test_cut = int(ordered[_first_of_last(len(ordered), test)])
    before_valid = _count_before(histories, times, valid_cut)
    before_test = _count_before(histories, times, test_cut)
    return Split(
        name="global_time",
        train=histories.head(before_valid),
        valid=_first_after(histories, before_valid, before_test, "validation"),
        test=_first_after(histories, before_test, histories.lengths, "test"),
        time_cut=valid_cut - 1,
    )


def _first_of_last(count: int, share: float) -> int:
    """Index of the first of the last `share` of `count` rows, at least one row.

    Rounded down, but not past a whole number that the share misses in its last binary digit.
    """
    return min(math.floor(count * (1 - share) + 1e-9), count - 1)


def _count_before(histories: Histories, times: IntArray, cut: int) -> IntArray:
    earlier = np.concatenate([[0], np.cumsum(times < cut)])
    return np.asarray(earlier[histories.offsets[1:]] - earlier[histories.offsets[:-1]])


def _first_after(histories: Histories, start: IntArray, end: IntArray, period: str) -> Cases:
    chosen = (start > 0) & (end > start)
    if not chosen.any():
        raise DataError(f"global_time: no user was active both before and in the {period} period")
    targets = histories.items[(histories.offsets[:-1] + start)[chosen]]
    return Cases(histories.head(start).select(chosen), targets)


SPLITS = {"leave_one_out": leave_one_out, "global_time": global_time}
