"""The catalogue reasoner: answers the stage questions without a model, a key or a network.

It speaks the same protocol as a language model and is asked with the same words, but it is not
one: it answers from item attributes and from how often *other* users took one item soon after
another. It rehearses a job for free, and it is the baseline a language model has to beat. Its name
starts with "catalog:" in every graph, verdict and report it has a part in.

Strength of a link x → y, the one number all answers come from:

    s(x, y) = c(x, y) / sqrt((1 + c(x, ·)) (1 + c(·, y)))  +  0.1 cos(a(x), a(y))

with c the distance-weighted transition counts of the users it may know (`folds_of`: never the
user's own group), and a(x) the attributes weighted by inverse document frequency. What is reported
as a score is the percentile of y among all items by s(x, ·), the middle one of equal items: a
blind guess gets 50 on average.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from llmrg.data.catalog import Catalog
from llmrg.errors import Refused
from llmrg.llm.base import Reply, Request
from llmrg.llm.evidence import Evidence, Row, attribute_matrix, evidence_digest, profile_lifts
from llmrg.text import clean
from llmrg.types import MASK

ATTRIBUTE_WEIGHT = 0.1
PROFILE_LIFT = 1.5  # how much more often than others the users of an entry must take an item
LINK_PERCENTILE = 95.0  # a chain is continued by the items among its tip's 5 % strongest
REASON_LENGTH = 280
CACHED_NUMBERS = 2**25  # rows of strengths kept in memory, in numbers of 4 bytes


class CatalogReasoner:
    """An `LLM` that knows the catalogue and the behavior of other users.

    Args:
        catalog: titles and attributes; its titles are unique, so a title names an item.
        evidence: what the other users did.
        label: tells apart reasoners over the same catalogue, such as "fold-0-of-2".
    """

    def __init__(
        self,
        catalog: Catalog,
        evidence: Evidence,
        *,
        label: str,
    ) -> None:
        transitions = evidence.transitions
        self._catalog = catalog
        self._transitions = transitions
        self._pairs = evidence.pairs
        self._outgoing = np.sqrt(1.0 + np.asarray(transitions.sum(axis=1)).ravel())
        self._incoming = np.sqrt(1.0 + np.asarray(transitions.sum(axis=0)).ravel())
        self._texts, self._attributes, self._rarity = attribute_matrix(catalog)
        self._items = sparse.csr_array(self._attributes.T)  # (K, N): which items have it
        self._everything = np.arange(1, catalog.num_items, dtype=np.int32)
        self._profiles = profile_lifts(evidence)
        self._column = {text: column for column, text in enumerate(self._texts)}
        self._rows: OrderedDict[int, tuple[Row, Row]] = OrderedDict()
        self._max_rows = max(64, CACHED_NUMBERS // catalog.num_items)
        self.model = f"{label}-{evidence_digest(catalog, evidence)}"

    @property
    def name(self) -> str:
        return f"catalog:{self.model}"

    async def complete(self, request: Request) -> Reply:
        """Answer a stage question; the data of the question is read from its text.

        Raises:
            Refused: for a stage it does not know.
        """
        answer = _ANSWERS.get(request.stage)
        if answer is None:
            raise Refused(
                f"the catalogue reasoner answers {', '.join(_ANSWERS)}, not {request.stage!r}; "
                "choose another [llm] provider for it"
            )
        # The first user message: a correction may follow after an unusable reply.
        question = next(each for each in request.messages if each.role == "user")
        data = json.loads(question.content.partition("Data:")[2])
        reply = answer(self, data)
        return Reply(json.dumps(reply, ensure_ascii=False), model=self.model)

    def _chain(self, data: dict[str, Any]) -> dict[str, Any]:
        """Continue the chains whose tips the next item is strongly linked to."""
        target = self._catalog.index_of_title.get(data["next"]["title"])
        if target is None:
            return {"links": []}
        candidates = []
        for chain in data["chains"]:
            tip = self._index(chain["steps"][-1])
            if tip is not None:
                percentile = self._percentile(tip, target)
                if percentile >= LINK_PERCENTILE:
                    candidates.append((-percentile, chain["number"], tip))
        links = [
            {"chain": number, **self._reason(tip, target)}
            for _, number, tip in sorted(candidates)[: data["most"]]
        ]
        return {"links": links or [self._start(target, data["profile"])]}

    def _start(self, target: int, profile: list[str]) -> dict[str, Any]:
        """Start a chain: from the profile entry whose users take the item most, if any do."""
        lifts = [(self._profiles[text][target], text) for text in profile if text in self._profiles]
        lift, text = max(lifts, default=(0.0, ""))
        if lift < PROFILE_LIFT:
            return {"chain": 0, "reason": "a new interest", "via": []}
        reason = f"users with {text} take it {lift:.1f} times as often as others"
        return {"chain": 0, "reason": reason, "via": [text]}

    def _extend(self, data: dict[str, Any]) -> dict[str, Any]:
        """Imagine the items most strongly linked to the newest two items of the chain."""
        known = [index for step in data["steps"] if (index := self._index(step)) is not None]
        if not known:
            return {"next": []}
        strengths = self._strengths(known[-1])[0].copy()
        if len(known) > 1:
            strengths += 0.5 * self._strengths(known[-2])[0]
        strengths[known] = -1.0
        strengths[0] = -1.0
        wanted = min(int(data["wanted"]), len(strengths) - 1)
        # A partition alone would break ties in a way that differs between processors.
        enough = np.partition(strengths, -wanted)[-wanted]
        best = np.flatnonzero(strengths >= enough)
        ranked = best[np.lexsort((best, -strengths[best]))][:wanted]
        following = [
            {"title": self._catalog.item(int(y)).title, **self._reason(known[-1], int(y))}
            for y in ranked
            if strengths[y] > 0
        ]
        return {"next": following}

    def _verify(self, data: dict[str, Any]) -> dict[str, Any]:
        """Fill the hidden place from what stands before it."""
        steps = data["steps"]
        place = next(i for i, step in enumerate(steps) if MASK in step.values())
        before = [index for s in steps[:place] if (index := self._index(s)) is not None]
        if data["hidden"] == "item":
            via = steps[place - 1].get("attribute", "") if place else ""
            return {"answer": self._likely_item(before, via)}
        if data["hidden"] == "profile":
            target = self._index(steps[-1])
            return {"answer": self._likely_profile(target) if target else ""}
        return {"answer": self._likely_attribute(before[-1] if before else None)}

    def _score(self, data: dict[str, Any]) -> dict[str, Any]:
        """Percentile of the truth among all items, by how strongly the guess is linked to it."""
        truth, guess = data["truth"], data["guess"]
        if truth == guess:
            return {"score": 100}
        if data["kind"] == "item":
            index_of = self._catalog.index_of_title
            if truth not in index_of or guess not in index_of:
                return {"score": 0}
            return {"score": int(self._percentile(index_of[guess], index_of[truth]))}
        if data["kind"] == "profile":
            known = truth in self._profiles and guess in self._profiles
            return {"score": _alike(self._profiles[truth], self._profiles[guess]) if known else 0}
        if truth not in self._column or guess not in self._column:
            return {"score": 0}
        both = self._items[[self._column[truth], self._column[guess]]].toarray()
        return {"score": _alike(both[0], both[1])}

    def _likely_item(self, before: list[int], via: str) -> str:
        """The item most strongly linked to the newest one, among those that have `via`."""
        if not before:
            return ""
        strengths = self._strengths(before[-1])[0]
        candidates = self._everything
        if via in self._column:
            candidates = _row(self._items, self._column[via])
        candidates = candidates[~np.isin(candidates, before)]
        if len(candidates) == 0:
            return ""
        best = int(candidates[np.argmax(strengths[candidates])])
        return self._catalog.item(best).title if strengths[best] > 0 else ""

    def _likely_attribute(self, source: int | None) -> str:
        """The attribute of the source item that what usually follows it shares most."""
        if source is None:
            return ""
        strengths = self._strengths(source)[0]
        weights = self._items @ strengths
        own = _row(self._attributes, source)
        if len(own) == 0:
            return ""
        return self._texts[int(own[np.argmax(weights[own])])]

    def _likely_profile(self, target: int) -> str:
        lifts = ((lifts[target], text) for text, lifts in self._profiles.items())
        return max(lifts, default=(0.0, ""))[1]

    def _reason(self, source: int, target: int) -> dict[str, Any]:
        """Say in words what the strength of a link is made of."""
        columns = np.intersect1d(_row(self._attributes, source), _row(self._attributes, target))
        shared = [self._texts[c] for c in columns[np.argsort(-self._rarity[columns])]]
        others = _entry(self._pairs, source, target)
        parts = [f"both have {' and '.join(shared[:2])}"] if shared else []
        if others:
            parts.append(f"{others} other user{'s' * (others > 1)} took it soon after")
        reason = clean("; ".join(parts) or "no evidence but rank", limit=REASON_LENGTH)
        return {"reason": reason, "via": shared[:1]}

    def _index(self, step: dict[str, Any]) -> int | None:
        return self._catalog.index_of_title.get(step.get("item", ""))

    def _percentile(self, source: int, target: int) -> float:
        row, ordered = self._strengths(source)
        below = np.searchsorted(ordered, row[target], side="left")
        up_to = np.searchsorted(ordered, row[target], side="right")
        return float(100.0 * (below + up_to - 1) / 2 / max(len(ordered) - 1, 1))

    def _strengths(self, source: int) -> tuple[Row, Row]:
        """s(source, ·) over all items, and the same numbers sorted without the padding. (N,)."""
        if source in self._rows:
            self._rows.move_to_end(source)
            return self._rows[source]
        own = np.zeros(self._attributes.shape[1], dtype=np.float32)
        start, end = self._attributes.indptr[source : source + 2]
        own[self._attributes.indices[start:end]] = self._attributes.data[start:end]
        row = np.asarray(ATTRIBUTE_WEIGHT * (self._attributes @ own), dtype=np.float32)
        start, end = self._transitions.indptr[source : source + 2]
        after = self._transitions.indices[start:end]
        scale = self._outgoing[source] * self._incoming[after]
        row[after] += self._transitions.data[start:end] / scale
        self._rows[source] = (row, np.sort(row[1:]))
        if len(self._rows) > self._max_rows:
            self._rows.popitem(last=False)
        return self._rows[source]


_ANSWERS = {
    "chain": CatalogReasoner._chain,
    "extend": CatalogReasoner._extend,
    "verify": CatalogReasoner._verify,
    "score": CatalogReasoner._score,
}


def _row(matrix: sparse.csr_array, row: int) -> NDArray[np.int32]:
    """Columns stored in one row; slicing a sparse array would cost a hundred times as much."""
    columns: NDArray[np.int32] = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
    return columns


def _entry(matrix: sparse.csr_array, row: int, column: int) -> int:
    start = matrix.indptr[row]
    columns = _row(matrix, row)
    place = int(np.searchsorted(columns, column))
    if place == len(columns) or columns[place] != column:
        return 0
    return int(matrix.data[start + place])


def _alike(first: Row, second: Row) -> int:
    """Cosine as a percentage."""
    lengths = float(np.linalg.norm(first) * np.linalg.norm(second))
    return int(100 * float(first @ second) / max(lengths, 1e-9))
