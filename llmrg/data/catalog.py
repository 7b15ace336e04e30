"""The catalogue: titles and attributes by item index; index 0 is padding and never an item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from llmrg.errors import DataError
from llmrg.text import clean
from llmrg.types import Attributes, Item, ItemId, ItemIndex

TITLE_LENGTH = 200
"""Longest title before anything is appended to make it unique."""


@dataclass(frozen=True, eq=False)
class Catalog:
    """All items that may be recommended, in a fixed order.

    Attributes:
        items: item *i* of this tuple has index i + 1.
    """

    items: tuple[Item, ...]

    @property
    def num_items(self) -> int:
        """N: the number of rows of an item table, padding included."""
        return len(self.items) + 1

    def item(self, index: ItemIndex | int) -> Item:
        """The item with this index, from 1."""
        if not 1 <= index < self.num_items:
            raise IndexError(f"item index {index} is not in 1..{self.num_items - 1}")
        return self.items[index - 1]

    @cached_property
    def index_of(self) -> dict[ItemId, ItemIndex]:
        """item_id → item index."""
        return {item.item_id: ItemIndex(i) for i, item in enumerate(self.items, start=1)}

    @cached_property
    def index_of_title(self) -> dict[str, ItemIndex]:
        """Title → item index; titles are unique because `with_unique_titles` made them so."""
        return {item.title: ItemIndex(i) for i, item in enumerate(self.items, start=1)}


def with_unique_titles(
    item_ids: Sequence[str], titles: Sequence[str], attributes: Sequence[Attributes]
) -> Catalog:
    """Build a catalogue whose titles can serve as names.

    Titles are cleaned first (`text.clean`: one line, nothing invisible, at most 200 characters), so
    that a title is the same text in a question, in a graph and here. Empty ones become the item_id,
    or a number if that is blank too. A title that several items share gets " [item_id]" appended,
    again and again while another item has that title already.

    Raises:
        DataError: if two items have the same id.
    """
    repeated = [item_id for item_id, times in Counter(item_ids).items() if times > 1]
    if repeated:
        raise DataError(f"item_id {repeated[0]!r} names two items; give each item its own id")
    shown = [clean(item_id, limit=TITLE_LENGTH // 4) for item_id in item_ids]
    cleaned = [clean(title, limit=TITLE_LENGTH) for title in titles]
    pairs = zip(shown, cleaned, strict=True)
    named = [title or name or f"item {n}" for n, (name, title) in enumerate(pairs, start=1)]
    counts = Counter(named)
    taken = set(named)
    items = []
    for item_id, name, title, attrs in zip(item_ids, shown, named, attributes, strict=True):
        if counts[title] > 1:
            while title in taken:
                title = f"{title} [{name}]"
            taken.add(title)
        items.append(Item(ItemId(item_id), title, attrs))
    return Catalog(tuple(items))
