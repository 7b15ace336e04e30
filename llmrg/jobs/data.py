"""Write a prepared data set as tables that the generic loader reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from llmrg.data.dataset import Dataset
from llmrg.types import Attributes


def write_dataset(dataset: Dataset, folder: Path) -> list[Path]:
    """Write interactions.parquet, items.parquet and, where profiles are known, users.parquet.

    Returns:
        The paths written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    histories = dataset.histories
    item_ids = np.array(["", *(item.item_id for item in dataset.catalog.items)], dtype=object)
    rows = histories.rows_of_users()
    interactions = pd.DataFrame(
        {
            "user_id": histories.user_ids[rows],
            "item_id": item_ids[histories.items],
            "position": np.arange(len(rows)) - histories.offsets[rows],
        }
    )
    if histories.timestamps is not None:
        interactions["timestamp"] = histories.timestamps
    tables = {"interactions": interactions, "items": _items(dataset)}
    if any(dataset.profiles):
        people = [_columns(profile) for profile in dataset.profiles]
        tables["users"] = pd.DataFrame(people).assign(user_id=histories.user_ids)
    paths = []
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        table.to_parquet(path, index=False)
        paths.append(path)
    return paths


def _items(dataset: Dataset) -> pd.DataFrame:
    """One row per item."""
    return pd.DataFrame(
        [
            {"item_id": item.item_id, "title": item.title, **_columns(item.attributes)}
            for item in dataset.catalog.items
        ]
    )


def _columns(attributes: Attributes) -> dict[str, str]:
    """One text per attribute name; several values are joined by "|", as the loader reads them."""
    columns: dict[str, str] = {}
    for name, value in attributes:
        columns[name] = f"{columns[name]}|{value}" if name in columns else value
    return columns
