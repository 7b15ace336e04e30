"""Five films, and a builder around any reasoner."""

from __future__ import annotations

import pytest

from llmrg.data.catalog import Catalog, with_unique_titles
from llmrg.knowledge.base import NoKnowledge
from llmrg.reasoning.ask import Asker
from llmrg.reasoning.build import Builder, ReasoningSettings
from llmrg.reasoning.ground import Grounder
from llmrg.text import HashingEncoder

TITLES = ["Alien (1979)", "Aliens (1986)", "Annie Hall (1977)", "Heat (1995)", "Brazil (1985)"]
GENRES = ["Sci-Fi", "Sci-Fi", "Comedy", "Crime", "Sci-Fi"]


@pytest.fixture
def catalog() -> Catalog:
    return with_unique_titles(
        [f"m{i}" for i in range(1, 6)], TITLES, [(("genres", genre),) for genre in GENRES]
    )


@pytest.fixture
def builder(catalog):
    """Make a builder around a reasoner."""

    def make(llm, snapshot=None, **settings) -> Builder:
        return Builder(
            asker=Asker(llm),
            catalog=catalog,
            snapshot=snapshot or NoKnowledge().snapshot("s"),
            ground=Grounder(catalog, HashingEncoder(512), floor=0.8),
            settings=ReasoningSettings(**settings),
        )

    return make
