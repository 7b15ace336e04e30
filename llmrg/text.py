"""Text as vectors, and text as safe data.

`HashingEncoder` needs no model and no download: hashed words and character trigrams, so that
spelling variants of a title stay close and unrelated titles do not. Encoders with a model behind
them follow the same protocol.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

# Cc, Cf, Co, Cs: control, format (bidi and zero-width characters), private and lone surrogates.
_UNSAFE = frozenset({"Cc", "Cf", "Co", "Cs"})
_WORD = re.compile(r"\w+", re.UNICODE)


class TextEncoder(Protocol):
    """Anything that turns texts into vectors of unit length."""

    @property
    def name(self) -> str:
        """Identifies the encoder and its settings; part of whatever is built from its vectors."""

    @property
    def size(self) -> int:
        """Number of dimensions F."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Encode each text on its own. Shape (len(texts), F), float32, rows of length 1 or 0."""


class HashingEncoder:
    """Bag of hashed words and character trigrams; the same text always gives the same vector.

    Source: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", ICML 2009:
    each feature adds +1 or -1 to one of `size` buckets, both chosen by its hash.
    """

    def __init__(self, size: int = 256) -> None:
        self._size = size

    @property
    def name(self) -> str:
        return f"hashing-{self._size}"

    @property
    def size(self) -> int:
        return self._size

    def encode(self, texts: Sequence[str]) -> Vectors:
        vectors = np.zeros((len(texts), self._size), dtype=np.float32)
        for row, text in enumerate(texts):
            hashes = np.array([zlib.crc32(f.encode()) for f in _features(text)], dtype=np.int64)
            signs = np.where(hashes & 0x80000000, 1.0, -1.0).astype(np.float32)
            np.add.at(vectors[row], hashes % self._size, signs)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)


def _features(text: str) -> list[str]:
    words = _WORD.findall(clean(text, limit=10_000).casefold())
    trigrams = [f" {word} "[i : i + 3] for word in words for i in range(len(word))]
    return words + trigrams


def clean(text: str, *, limit: int = 300) -> str:
    """Make a foreign text safe to show to a model: one line, no invisible characters, capped.

    Control, bidirectional, zero-width and private characters are removed, white space is folded,
    and at most `limit` characters are kept.
    """
    if text.isascii() and text.isprintable() and len(text) <= limit:
        return " ".join(text.split())
    spaced = "".join(" " if c.isspace() else c for c in text)
    visible = "".join(c for c in spaced if unicodedata.category(c) not in _UNSAFE)
    return " ".join(visible.split())[:limit]


def attribute_text(name: str, value: str) -> str:
    """How an attribute or a profile entry is shown everywhere: "genres: Comedy"."""
    return f"{clean(name, limit=40)}: {clean(value, limit=100)}"


def normalize(text: str) -> str:
    """Fold a title for comparison: case, accents, punctuation and spacing do not count."""
    decomposed = unicodedata.normalize("NFKD", clean(text).casefold())
    words = _WORD.findall("".join(c for c in decomposed if not unicodedata.combining(c)))
    return " ".join(words)
