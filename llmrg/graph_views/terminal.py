"""One user's reasoning graph as lines for a terminal."""

from __future__ import annotations

from llmrg.graph_views.excerpt import Excerpt, take
from llmrg.graph_views.markup import clean
from llmrg.types import ReasoningGraph, Step


def to_text(graph: ReasoningGraph, *, last: int | None) -> str:
    """Draw every chain as a tree of lines, each root with what followed it.

    Args:
        last: how many of the newest history items to show; None shows the whole graph.

    Returns:
        Lines without control characters, such as

            Toy Story (1995)
              └─ because both are computer-animated → Antz (1998)   [83]
                  └─ perhaps, because it has the same humor ⇢ Shrek (2001)   [71] imagined
    """
    excerpt = take(graph, last_items=last)
    lines: list[str] = []
    for root in excerpt.children[-1]:
        before = "… " if root in excerpt.earlier and excerpt.step(root).parent >= 0 else ""
        lines.append(before + _name(excerpt.step(root)))
        lines.extend(_below(excerpt, root))
    left_out = excerpt.chains_in_graph - excerpt.chains
    if left_out:
        chains = "chain" if left_out == 1 else "chains"
        lines.append(f"({left_out} older {chains} not shown)")
    return "\n".join(lines) if lines else "(this graph has no steps)"


def _below(excerpt: Excerpt, root: int) -> list[str]:
    """The lines of all steps under `root`; a stack, since a chain may be longer than recursion."""
    lines = []
    stack = [(child, "  ") for child in reversed(excerpt.children[root])]
    while stack:
        index, indent = stack.pop()
        siblings = excerpt.children[excerpt.parent(index)]
        is_last = index == siblings[-1]
        lines.append(f"{indent}{'└─' if is_last else '├─'} {_line(excerpt.step(index))}")
        deeper = indent + ("    " if is_last else "│   ")
        stack.extend((child, deeper) for child in reversed(excerpt.children[index]))
    return lines


def _line(step: Step) -> str:
    imagined = step.origin == "imagined"
    words = because(step.reason)
    if imagined:
        words = f"perhaps, {words}" if words else "perhaps"
    score = f"   [{step.verdict.score:.0f}]" if step.verdict else ""
    arrow = "⇢" if imagined else "→"
    return f"{words + ' ' if words else ''}{arrow} {_name(step)}{score}" + " imagined" * imagined


def _name(step: Step) -> str:
    name = clean(step.node.text) or clean(step.node.key) or "(no title)"
    return name if step.node.kind == "item" else f"‹{name}›"


def because(reason: str) -> str:
    """Put "because" before a reason that does not open with it; empty stays empty."""
    reason = clean(reason).rstrip(".")
    if not reason or reason.lower().startswith("because"):
        return reason
    return f"because {reason}"
