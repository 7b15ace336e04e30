"""What a run has to show, whoever made it: figures, curves, calls and a few users' stories.

All fields are plain values, ready to be shown; nothing here computes a figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from llmrg.types import ItemId, Node, ReasoningGraph, Recommendation, UserId


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its interval; `low` and `high` are None where no interval was computed."""

    mean: float
    low: float | None = None
    high: float | None = None

    def printed(self, *, sign: bool = False) -> str:
        """The mean with 4 decimals; "–" for NaN."""
        return _printed(self.mean, sign=sign)

    def brackets(self, *, sign: bool = False) -> str:
        """The interval as "[0.1200, 0.1300]"; empty where there is none."""
        if self.low is None or self.high is None:
            return ""
        return f"[{_printed(self.low, sign=sign)}, {_printed(self.high, sign=sign)}]"


def _printed(value: float, *, sign: bool = False) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:+.4f}" if sign else f"{value:.4f}"


@dataclass(frozen=True, slots=True)
class MetricRow:
    """The figures of one system.

    Attributes:
        system: its name, such as "sasrec + graphs".
        note: what sets it apart, in a few words; may be empty.
        metrics: metric, such as "ndcg@10", → its value. Higher is better.
    """

    system: str
    note: str
    metrics: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True)
class Comparison:
    """One system against another over the same users: `difference` is `system` − `against`."""

    system: str
    against: str
    metric: str
    difference: Estimate
    p_value: float

    @property
    def p_printed(self) -> str:
        """The p value with 4 decimals, or "< 0.0001"."""
        return "< 0.0001" if self.p_value < 0.0001 else _printed(self.p_value)

    @property
    def reading(self) -> str:
        """What the interval allows to say: "higher", "lower" or "no clear difference"."""
        if self.difference.low is None or self.difference.high is None:
            return ""
        if self.difference.low > 0:
            return "higher"
        return "lower" if self.difference.high < 0 else "no clear difference"


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a line, by ascending `x`; values that are not finite are left out of plots."""

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LearningCurves:
    """How one system learned with one seed; the tuples are equally long, or empty.

    Attributes:
        epochs: from 1.
        loss: mean training loss of the epoch.
        valid: ndcg@10 on the validation cases after the epoch; NaN where it was not measured.
    """

    system: str
    seed: int
    epochs: tuple[int, ...]
    loss: tuple[float, ...]
    valid: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class HitCurve:
    """How the knowledge base took over.

    Attributes:
        label: what was built, such as the strategy.
        steps: number of history items reasoned about so far.
        share: share of the items since the point before that a link from the knowledge base
            explained, 0 to 1.
    """

    label: str
    steps: tuple[int, ...]
    share: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StageCalls:
    """Questions of one stage ("chain", "extend", "verify", "score").

    Attributes:
        asked: sent to the reasoner.
        saved: not sent, because the knowledge base knew.
        failed: those of `asked` that brought no usable answer.
    """

    stage: str
    asked: int
    saved: int
    failed: int


@dataclass(frozen=True)
class UserStory:
    """What the system made of one user.

    Attributes:
        graph: the user's graph as the recommender saw it.
        recommendations: by ascending rank.
        titles: item_id → title, at least for the recommended items and the target.
        target: the item the user really took next, where it is known.
    """

    user_id: UserId
    graph: ReasoningGraph
    recommendations: tuple[Recommendation, ...]
    titles: Mapping[ItemId, str]
    target: ItemId | None = None

    def title(self, item_id: str) -> str:
        """The item's title, or its id where no title was given."""
        return self.titles.get(ItemId(item_id), item_id)

    def history(self) -> tuple[Node, ...]:
        """The history items of the graph, oldest first."""
        by_position = {
            step.position: step.node
            for step in self.graph.steps
            if step.origin == "observed" and step.node.kind == "item"
        }
        return tuple(by_position[position] for position in sorted(by_position))


@dataclass(frozen=True)
class ReportPage:
    """Everything one page shows; sections without content are left out.

    Attributes:
        reasoner: who reasoned, such as "catalog:1a2b3c4d" or "openai:gpt-4.1-nano"; empty if no
            graph was built.
        when: date and time as they shall be printed.
        dataset: the data in a few sentences.
        interval: what the intervals of `rows` are, in words.
        comparison_interval: the same for those of `comparisons`.
        headline: the metric drawn beside the table.
    """

    title: str
    reasoner: str
    when: str = ""
    summary: tuple[str, ...] = ()
    dataset: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    rows: tuple[MetricRow, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    learning: tuple[LearningCurves, ...] = ()
    hits: tuple[HitCurve, ...] = ()
    curves: tuple[Curve, ...] = ()
    calls: tuple[StageCalls, ...] = ()
    stories: tuple[UserStory, ...] = ()
    notes: tuple[str, ...] = ()
    interval: str = "95% interval"
    comparison_interval: str = "95% interval"
    headline: str = "ndcg@10"

    def metrics(self) -> tuple[str, ...]:
        """All metrics of all rows, in the order in which they first appear."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.metrics))

    def is_best(self, row: MetricRow, metric: str) -> bool:
        """Whether no row has a higher mean, as it is printed; one row alone is never best."""
        means = [other.metrics[metric].mean for other in self.rows if metric in other.metrics]
        printed = [round(mean, 4) for mean in means if not math.isnan(mean)]
        return len(printed) > 1 and round(row.metrics[metric].mean, 4) == max(printed)


def who_reasoned(reasoner: str) -> str:
    """State in one or two sentences where the reasons in the graphs come from."""
    if not reasoner:
        return "No reasoning graph was used."
    if reasoner.startswith("catalog:"):
        return (
            f"The reasons were given by the catalogue reasoner ({reasoner}). It is not an LLM: it "
            "looks up item attributes and what followed what in the training data. These figures "
            "say nothing about what a language model would add."
        )
    return f"The reasons were given and checked by {reasoner}."
