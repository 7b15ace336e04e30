"""Hypothesis strategies for reasoning graphs that keep every rule of graphs/README.md."""

from __future__ import annotations

from hypothesis import strategies as st

from llmrg.types import Node, ReasoningGraph, Step, UserId, Verdict

TROUBLE = ["", "\0", "\r\n\t\x1b[2J", "\u202eright to left", "'; DROP TABLE", "💥\U0010ffff"]
HOSTILE = st.one_of(st.sampled_from([*TROUBLE, "ten thousand " * 770]), st.text(max_size=8))
PLAIN = st.sampled_from(["a", "b", "c", "d"])
KINDS = st.sampled_from(["item", "item", "attribute", "profile", "concept"])


def verdicts(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Verdict]:
    percent = st.floats(0, 100)
    return st.builds(
        Verdict, percent, st.booleans(), st.none() | percent, texts, texts, texts, texts,
        st.booleans(),
    )  # fmt: skip


@st.composite
def graphs(
    draw: st.DrawFn,
    texts: st.SearchStrategy[str] = PLAIN,
    max_steps: int = 12,
    user_id: str | None = None,
) -> ReasoningGraph:
    """One graph; positions need not follow the order of the steps, only that of the parents."""
    observed_from = draw(st.integers(0, 3))
    span = draw(st.integers(1, 6))
    steps: list[Step] = []
    for index in range(draw(st.integers(0, max_steps))):
        origin = (
            draw(st.sampled_from(["observed", "observed", "imagined"])) if steps else "observed"
        )
        allowed = [i for i in range(index) if origin == "imagined" or steps[i].origin == "observed"]
        parent = draw(st.sampled_from([*allowed] if origin == "imagined" else [-1, *allowed]))
        low = 0 if parent < 0 else steps[parent].position - observed_from
        position = observed_from + draw(st.integers(low, span - 1))
        node = Node(draw(KINDS), draw(texts), draw(texts))
        verdict = draw(st.none() | verdicts(texts)) if parent >= 0 else None
        steps.append(Step(node, draw(texts), origin, position, parent, verdict))
    name = draw(texts) if user_id is None else user_id
    return ReasoningGraph(
        UserId(name), tuple(steps), observed_from, observed_from + span, draw(texts)
    )
