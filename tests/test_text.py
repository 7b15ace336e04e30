from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from llmrg.text import HashingEncoder, clean, normalize


def test_the_same_text_gives_the_same_vector_alone_and_in_company():
    encoder = HashingEncoder(128)
    alone = encoder.encode(["Alien (1979)"])[0]
    np.testing.assert_array_equal(encoder.encode(["Heat", "Alien (1979)"])[1], alone)


def test_vectors_have_length_one_and_the_empty_text_has_none():
    vectors = HashingEncoder(128).encode(["Toy Story (1995)", ""])
    assert np.linalg.norm(vectors, axis=1).tolist() == [np.float32(1.0), 0.0]


def test_a_moved_article_stays_closer_than_another_title():
    title, variant, other = HashingEncoder(512).encode(
        ["Terminator, The (1984)", "The Terminator (1984)", "Annie Hall (1977)"]
    )
    assert title @ variant > 0.9
    assert title @ other < 0.5


@given(st.text())
def test_clean_text_is_one_visible_line(text):
    cleaned = clean(text, limit=50)
    assert len(cleaned) <= 50
    assert cleaned == " ".join(cleaned.split())
    assert clean(cleaned, limit=50) == cleaned


def test_clean_removes_what_cannot_be_seen():
    assert clean("Ali\u200ben\u202e \x00(19\t79)") == "Alien (19 79)"


def test_normalize_ignores_case_accents_and_punctuation():
    assert normalize("Les Misérables (1995)!") == normalize("les  miserables 1995")
