"""One user's part of the report: what was taken, how it was linked, what is recommended and why."""

from __future__ import annotations

from llmrg.evaluation.report_types import UserStory
from llmrg.graph_views import to_svg
from llmrg.graph_views.markup import escape
from llmrg.types import Chain, Recommendation, Step

TAIL = 8
CHAINS_SHOWN = 2
STEPS_SHOWN = 4
NO_CHAIN = "no chain in this user's graph names this item: it comes from the sequence model"


def story_html(story: UserStory) -> str:
    """The story of one user as an `article` element."""
    recommended = {one.item_id for one in story.recommendations}
    graph = to_svg(story.graph, highlight=recommended)
    user = escape(story.user_id)
    return "\n".join(
        [
            '<article class="story">',
            f"<h3>User {user}</h3>",
            _history(story),
            '<figure class="graph">',
            f'<div class="scroll newest-first" tabindex="0" role="region" '
            f'aria-label="Reasoning graph of user {user}, scrolls sideways">{graph}</div>',
            "<figcaption>The user’s graph, oldest at the left; it opens at its newest end and "
            "scrolls sideways. Rest the pointer on an edge for the full reason.</figcaption>",
            "</figure>",
            _recommendations(story),
            "</article>",
        ]
    )


def _history(story: UserStory) -> str:
    history = story.history()
    if not history:
        return "<p>This user’s graph holds no item.</p>"
    tail = history[-TAIL:]
    count = f"{len(history)} items" if len(history) > 1 else "1 item"
    words = f"{count} in the graph; the last {len(tail)}:" if len(history) > TAIL else f"{count}:"
    items = "".join(f"<li>{escape(node.text or node.key)}</li>" for node in tail)
    start = len(history) - len(tail) + 1
    return f'<p class="small">{words}</p>\n<ol class="history" start="{start}">{items}</ol>'


def _recommendations(story: UserStory) -> str:
    if not story.recommendations:
        return f'<p class="small">Nothing was recommended.{_target(story)}</p>'
    items = "\n".join(_recommendation(story, one) for one in story.recommendations)
    return f'<h4>Recommended</h4>\n<ol class="recommended">\n{items}\n</ol>\n' + (
        f'<p class="small">{_target(story)}</p>' if story.target else ""
    )


def _target(story: UserStory) -> str:
    if story.target is None:
        return ""
    title = f"<b>{escape(story.title(story.target))}</b>"
    for one in story.recommendations:
        if one.item_id == story.target:
            return f"The user really took {title} next: rank {one.rank} above."
    return f" The user really took {title} next, which is not in this list."


def _recommendation(story: UserStory, one: Recommendation) -> str:
    taken = '<span class="taken">taken next</span>' if one.item_id == story.target else ""
    chains = [_chain(chain) for chain in one.chains[:CHAINS_SHOWN]]
    left_out = len(one.chains) - len(chains)
    if left_out:
        chains.append(
            f'<p class="why">and {left_out} more {"chain" if left_out == 1 else "chains"}</p>'
        )
    if not chains:
        chains = [f'<p class="why none">{NO_CHAIN}</p>']
    return (
        f'<li><span class="rank">{one.rank}</span>'
        f'<div><p class="pick"><b>{escape(story.title(one.item_id))}</b>{taken}'
        f'<span class="score">score {one.score:.3f}</span></p>{"".join(chains)}</div></li>'
    )


def _chain(chain: Chain) -> str:
    """A chain in words; its first steps are cut where it is long."""
    cut = len(chain.steps) > STEPS_SHOWN
    steps = chain.steps[-STEPS_SHOWN:]
    told = [("… " if cut else "") + _node(steps[0])]
    for step in steps[1:]:
        arrow = "⇢" if step.origin == "imagined" else "→"
        reason = f"<i>{escape(step.reason)}</i> " if step.reason.strip() else ""
        score = f' <span class="score">[{step.verdict.score:.0f}]</span>' if step.verdict else ""
        told.append(f"{reason}{arrow} {_node(step)}{score}")
    return f'<p class="why">{" ".join(told)}</p>'


def _node(step: Step) -> str:
    kind = "item" if step.node.kind == "item" else "pill"
    return f'<span class="{kind}">{escape(step.node.text or step.node.key)}</span>'
