"""Imagined titles → catalogue items, or nothing below a floor.

Paper: arXiv 2308.10835 retrieves the nearest item with "another small language model" and gives no
floor. We take an exact title first, then the nearest one by a text encoder if its cosine reaches
`floor`, and otherwise say that the catalogue has no such item.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from llmrg.data.catalog import Catalog
from llmrg.text import TextEncoder, Vectors, normalize
from llmrg.types import Item


class Grounder:
    """Finds the catalogue item a title means.

    Args:
        floor: smallest accepted cosine, 0 to 1.
    """

    def __init__(self, catalog: Catalog, encoder: TextEncoder, *, floor: float) -> None:
        self._catalog = catalog
        self._encoder = encoder
        self._floor = floor
        self._found: dict[str, Item | None] = {}

    def find(self, title: str) -> Item | None:
        """Return the item `title` means, or None if the catalogue has none like it."""
        exact = self._catalog.index_of_title.get(title)
        if exact is not None:
            return self._catalog.item(exact)
        if title not in self._found:
            self._found[title] = self._search(title)
        return self._found[title]

    def _search(self, title: str) -> Item | None:
        name = normalize(title)
        if not name:
            return None
        if name in self._by_name:
            return self._by_name[name]
        similarity = self._vectors @ self._encoder.encode([title])[0]
        best = int(np.argmax(similarity))
        return self._catalog.items[best] if similarity[best] >= self._floor else None

    @cached_property
    def _by_name(self) -> dict[str, Item]:
        # Reversed: of several items with one normalized name the first in the catalogue wins.
        return {normalize(item.title): item for item in reversed(self._catalog.items)}

    @cached_property
    def _vectors(self) -> Vectors:
        return self._encoder.encode([item.title for item in self._catalog.items])
