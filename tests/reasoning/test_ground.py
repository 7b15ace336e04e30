from __future__ import annotations

import pytest

from llmrg.reasoning.ground import Grounder
from llmrg.text import HashingEncoder


@pytest.fixture
def ground(catalog):
    return Grounder(catalog, HashingEncoder(512), floor=0.8)


@pytest.mark.parametrize(
    "said", ["Alien (1979)", "alien 1979", "ALIEN (1979)!", "Alien\u200b (1979)"]
)
def test_a_title_is_found_whatever_its_spelling(ground, said):
    found = ground.find(said)
    assert found is not None
    assert found.item_id == "m1"


def test_a_title_the_catalog_does_not_have_is_not_bent_into_one_it_has(ground):
    assert ground.find("Casablanca (1942)") is None
    assert ground.find("") is None


def test_a_floor_of_zero_takes_the_nearest(catalog):
    nearest = Grounder(catalog, HashingEncoder(512), floor=0.0).find("Annie (1999)")
    assert nearest is not None
    assert nearest.title == "Annie Hall (1977)"
