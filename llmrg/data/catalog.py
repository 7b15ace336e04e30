"""The catalogue: titles and attributes by item index; index 0 is padding and never an item."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from llmrg.errors import DataError
from llmrg.types import Attributes, Item, ItemId, ItemIndex


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

    Empty titles become the item_id. A title that several items share gets " [item_id]" appended,
    again and again while another item has that title already.

    Raises:
        DataError: if two items have the same id.
    """
    repeated = [item_id for item_id, times in Counter(item_ids).items() if times > 1]
    if repeated:
        raise DataError(f"item_id {repeated[0]!r} names two items; give each item its own id")
    named = [title or item_id for item_id, title in zip(item_ids, titles, strict=True)]
    counts = Counter(named)
    taken = set(named)
    items = []
    for item_id, title, attrs in zip(item_ids, named, attributes, strict=True):
        if counts[title] > 1:
            while title in taken:
                title = f"{title} [{item_id}]"
            taken.add(title)
        items.append(Item(ItemId(item_id), title, attrs))
    return Catalog(tuple(items))
