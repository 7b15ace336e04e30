"""The catalogue: indices from 1, and titles that can serve as names."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmrg.data.catalog import with_unique_titles
from llmrg.errors import DataError
from llmrg.text import clean


def titles_of(ids: list[str], titles: list[str]) -> list[str]:
    return [item.title for item in with_unique_titles(ids, titles, [()] * len(ids)).items]


def test_index_0_is_padding_and_the_first_item_has_index_1() -> None:
    catalog = with_unique_titles(["x", "y"], ["Heat", "Dune"], [(("year", "1995"),), ()])
    assert catalog.num_items == 3
    assert catalog.item(1).title == "Heat"
    assert catalog.item(1).attributes == (("year", "1995"),)
    assert dict(catalog.index_of) == {"x": 1, "y": 2}
    assert catalog.index_of_title["Dune"] == 2
    for index in (0, 3):
        with pytest.raises(IndexError, match=r"not in 1\.\.2"):
            catalog.item(index)


def test_a_title_of_several_items_gets_the_id_appended() -> None:
    assert titles_of(["1", "2", "3"], ["Emma", "Emma", "Dune"]) == ["Emma [1]", "Emma [2]", "Dune"]


def test_an_empty_title_becomes_the_item_id() -> None:
    assert titles_of(["7", "8"], ["", "Dune"]) == ["7", "Dune"]


def test_an_appended_id_never_makes_a_title_that_exists() -> None:
    # Item 3 would become "X [3]", which is item 9's own title.
    assert titles_of(["3", "4", "9"], ["X", "X", "X [3]"]) == ["X [3] [3]", "X [4]", "X [3]"]


def test_two_items_with_one_id_are_refused() -> None:
    with pytest.raises(DataError, match="'1' names two items"):
        titles_of(["1", "1"], ["Emma", "Dune"])


@settings(deadline=None)
@given(
    st.lists(st.text("ab[] 12", min_size=1, max_size=4), unique=True, max_size=12).flatmap(
        lambda ids: st.tuples(
            st.just(ids),
            st.lists(
                st.one_of(
                    st.sampled_from(["", "a", "a [1]", "a [1] [1]", "b"]),
                    st.sampled_from(ids or [""]),
                ),
                min_size=len(ids),
                max_size=len(ids),
            ),
        )
    )
)
def test_titles_are_always_unique_and_begin_as_they_were(pair: tuple[list[str], list[str]]) -> None:
    ids, given_titles = pair
    titles = titles_of(ids, given_titles)
    assert len(set(titles)) == len(ids)
    for item_id, before, after in zip(ids, given_titles, titles, strict=True):
        assert after.startswith(clean(before) or clean(item_id) or "item ")


def test_titles_are_cleaned_so_that_they_are_the_same_text_everywhere() -> None:
    assert titles_of(["1"], ["Blade  Runner\n(1982)\u200b"]) == ["Blade Runner (1982)"]
    long = titles_of(["1", "2"], ["x" * 900, "x" * 901])
    assert long == ["x" * 200 + " [1]", "x" * 200 + " [2]"]
