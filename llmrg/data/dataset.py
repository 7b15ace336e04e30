"""A prepared data set: what every job starts from."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from llmrg.data.bad_rows import BadRow
from llmrg.data.catalog import Catalog
from llmrg.data.interactions import Histories
from llmrg.errors import DataError
from llmrg.types import Attributes, Interaction, UserHistory, UserId

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
DIGEST_VERSION = 1


@dataclass(frozen=True, eq=False)
class Dataset:
    """Histories, the catalogue they speak of, and how they came to be.

    Attributes:
        name: fit for file names, see `check_name`.
        profiles: one per user of `histories`, empty where nothing is known.
        note: a warning to print beside every figure, such as "development set, not a benchmark".
        bad_rows: rows of the source that were left out, by file and row.
        duplicates: number of interactions dropped because the user had taken the item before.
    """

    name: str
    histories: Histories
    catalog: Catalog
    profiles: tuple[Attributes, ...] = ()
    note: str = ""
    bad_rows: tuple[BadRow, ...] = ()
    duplicates: int = 0

    @cached_property
    def row_of(self) -> dict[str, int]:
        """user_id → row in `histories`."""
        return {user_id: row for row, user_id in enumerate(self.histories.user_ids.tolist())}

    def user_history(self, row: int, histories: Histories | None = None) -> UserHistory:
        """One user as the thinking half reads it.

        Args:
            row: row of the user in `histories`.
            histories: a part of this data set with the same users, such as `Split.train`.
        """
        histories = self.histories if histories is None else histories
        times = histories.times_of(row)
        stamps: list[Any] = [None] * len(histories.of(row)) if times is None else times.tolist()
        interactions = tuple(
            Interaction(self.catalog.item(index).item_id, stamp)
            for index, stamp in zip(histories.of(row).tolist(), stamps, strict=True)
        )
        profile = self.profiles[row] if self.profiles else ()
        return UserHistory(UserId(histories.user_ids[row]), interactions, profile)

    def digest(self) -> str:
        """sha256 over users, items, interactions, timestamps and profiles, in hexadecimal.

        The name, the note and the rows left out are not part of it.
        """
        histories = self.histories
        words = {
            "version": DIGEST_VERSION,
            "users": histories.user_ids.tolist(),
            "items": [[item.item_id, item.title, item.attributes] for item in self.catalog.items],
            "profiles": self.profiles,
        }
        hasher = hashlib.sha256(json.dumps(words, separators=(",", ":")).encode())
        for array in (histories.offsets, histories.items, histories.timestamps):
            content = b"none" if array is None else array.astype("<i8").tobytes()
            hasher.update(len(content).to_bytes(8, "big") + content)
        return hasher.hexdigest()

    def words(self) -> str:
        """Digest of what can be said about items and users: catalogue and profiles, no behavior."""
        items = [[item.item_id, item.title, item.attributes] for item in self.catalog.items]
        text = json.dumps([items, self.profiles], separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def describe(self) -> dict[str, Any]:
        """The figures of the data set, fit for JSON.

        `density` is the share of user-item pairs that were observed; timestamps are Unix seconds,
        None where only the order is known.
        """
        users, items = len(self.histories), len(self.catalog.items)
        lengths, times = self.histories.lengths, self.histories.timestamps
        return {
            "name": self.name,
            "note": self.note,
            "users": users,
            "items": items,
            "interactions": self.histories.num_interactions,
            "density": self.histories.num_interactions / (users * items),
            "mean_length": float(np.mean(lengths)),
            "median_length": float(np.median(lengths)),
            "duplicates": self.duplicates,
            "bad_rows": len(self.bad_rows),
            "profiles": sum(1 for profile in self.profiles if profile),
            "first_timestamp": None if times is None else int(times.min()),
            "last_timestamp": None if times is None else int(times.max()),
        }


def check_name(name: str) -> str:
    """Return a name that may become part of a file name.

    Raises:
        DataError: unless it has 1 to 64 of the characters A-Z, a-z, 0-9, ".", "_" and "-", and
            is more than dots.
    """
    if not NAME.fullmatch(name) or not name.strip("."):
        raise DataError(
            f"name {name[:80]!r} cannot be used in file names; use 1 to 64 of the characters "
            "A-Z a-z 0-9 . _ - and not only dots"
        )
    return name
