"""A made-up run for tests of the report: every figure, user and reason in here is invented."""

from __future__ import annotations

import math
import random

from llmrg.evaluation.report import (
    Comparison,
    Curve,
    Estimate,
    HitCurve,
    LearningCurves,
    MetricRow,
    ReportPage,
    StageCalls,
    UserStory,
)
from llmrg.types import (
    Chain,
    ItemId,
    Node,
    Origin,
    ReasoningGraph,
    Recommendation,
    Step,
    UserId,
    Verdict,
)

HOSTILE = (
    "</script><script>alert(1)</script>",
    '<img src="http://example.org/x.png" onerror="alert(1)">',
    "</style></svg></title>",
    "a & b \"double\" 'single'",
    "bell\x07 escape\x1b[31m null\x00 lone \ud800 end\ufffe",
    "W" * 300,
    "مرحبا بالعالم \u202e reversed",
    "日本語のとても長いタイトルの映画です",
    "e\u0301" * 60,
    "]]> <!-- --> {x} $\\frac{1}{0}$ | pipe",
    "   ",
)

TITLES = (
    "Toy Story (1995)",
    "Antz (1998)",
    "Alien (1979)",
    "Star Wars: Episode V - The Empire Strikes Back (1980)",
    "Blade Runner (1982)",
    "Terminator, The (1984)",
    "Annie Hall (1977)",
    "Fargo (1996)",
    "Babe (1995)",
    "Heat (1995)",
    "Dr. Strangelove or: How I Learned to Stop Worrying and Love the Bomb (1963)",
    "Brazil (1985)",
    "Aliens (1986)",
    "Shrek (2001)",
    "Casablanca (1942)",
    "Princess Bride, The (1987)",
)
REASONS = (
    "the same director's dark view of the future",
    "both are computer-animated comedies for the whole family",
    "continues the same story",
    "a lonely man lost in a decaying future city",
    "dry humor about ordinary people in trouble",
    "a hunted human against a machine, in a bleak future",
)
ATTRIBUTES = ("genres: Sci-Fi", "genres: Comedy", "genres: Children's", "decade: 1990s")


class _Writer:
    """Attaches steps as a builder would, with made-up reasons and verdicts."""

    def __init__(self, seed: int, titles: tuple[str, ...], reasons: tuple[str, ...]) -> None:
        self.random = random.Random(seed)
        self.titles, self.reasons = titles, reasons
        self.steps: list[Step] = []

    def root(self, position: int) -> int:
        return self._add(self._item(position), "", "observed", position, -1, scored=False)

    def link(self, number: int, origin: Origin, position: int, parent: int) -> int:
        if self.random.random() < 0.45:
            text = self.random.choice(ATTRIBUTES)
            pill = Node("attribute", text.replace(": ", "="), text)
            parent = self._add(pill, "", origin, position, parent, scored=False)
        reason = self.random.choice(self.reasons)
        return self._add(self._item(number), reason, origin, position, parent, scored=True)

    def _item(self, number: int) -> Node:
        return Node("item", str(number), self.titles[number % len(self.titles)])

    def _add(
        self, node: Node, reason: str, origin: Origin, position: int, parent: int, *, scored: bool
    ) -> int:
        score = float(self.random.randint(55, 100))
        verdict = Verdict(score, True, 31.0, node.key, node.text, "catalog:1a2b3c4d", "p")
        self.steps.append(Step(node, reason, origin, position, parent, verdict if scored else None))
        return len(self.steps) - 1


def made_up_graph(
    num_items: int = 16,
    *,
    seed: int = 0,
    linked: float = 0.8,
    titles: tuple[str, ...] = TITLES,
    reasons: tuple[str, ...] = REASONS,
) -> ReasoningGraph:
    """A graph of `num_items` history items; imagined items have ids from 100 on."""
    writer = _Writer(seed, titles, reasons)
    tips: list[int] = []
    for position in range(num_items):
        made = []
        if tips and writer.random.random() < linked:
            for parent in writer.random.sample(tips, min(len(tips), 1 + (position % 3 == 2))):
                made.append(writer.link(position, "observed", position, parent))
                if writer.random.random() < 0.8:
                    tips.remove(parent)
        made = made or [writer.root(position)]
        tips += made
        for tip in made:
            for _ in range(writer.random.choice([0, 1, 2])):
                writer.link(100 + writer.random.randrange(16), "imagined", position, tip)
    return ReasoningGraph(UserId(f"u{seed}"), tuple(writer.steps), 0, num_items, "catalog:1a2b3c4d")


def made_up_story(seed: int = 0, *, titles: tuple[str, ...] = TITLES) -> UserStory:
    """A user whose first recommendations stand in the graph and whose last does not."""
    reasons = REASONS if titles is TITLES else titles
    graph = made_up_graph(14 + seed, seed=seed, titles=titles, reasons=reasons)
    chains: dict[str, list[Chain]] = {}
    for chain in graph.extended().chains:
        if chain.tip.origin == "imagined":
            chains.setdefault(chain.tip.node.key, []).append(chain)
    picked = [*list(chains)[:4], "999"]
    return UserStory(
        user_id=graph.user_id,
        graph=graph,
        recommendations=tuple(
            Recommendation(ItemId(key), 7.5 - 0.61 * i, i + 1, tuple(chains.get(key, ())))
            for i, key in enumerate(picked)
        ),
        titles={
            ItemId(str(i)): titles[i % len(titles)] for i in (*range(40), *range(100, 116), 999)
        },
        target=ItemId(picked[1]),
    )


def made_up_page() -> ReportPage:
    """A page with something in every section."""
    systems = (
        ("popular", "the same list for everybody", 0.0212),
        ("item_knn", "what often follows", 0.0571),
        ("sasrec", "sequence alone", 0.1034),
        ("sasrec + sequence graph", "control: links without reasons", 0.1041),
        ("sasrec + random graph", "control: links drawn at random", 0.1019),
        ("sasrec + reasoning graphs", "observed and imagined, concatenated", 0.1098),
    )
    metrics = {"recall@5": 1.1, "recall@10": 1.83, "recall@20": 2.7, "ndcg@10": 1.0, "mrr@10": 0.8}
    return ReportPage(
        title="Do reasoning graphs help on MovieLens? (made-up figures)",
        reasoner="catalog:1a2b3c4d",
        when="2031-02-03 04:05 UTC",
        summary=(
            "Every figure on this page is made up: it is a fixture of the test suite.",
            "Reasoning graphs raise ndcg@10 of SASRec from 0.1034 to 0.1098; the two controls, "
            "graphs without reasons and with random links, do not.",
        ),
        dataset="MovieLens latest small: 610 users, 9,724 items, 100,836 ratings, taken as "
        "interactions; each user's last item is held out for testing, the one before for choosing.",
        settings={
            "split": "leave_one_out",
            "min_interactions": "5",
            "max_length": "50",
            "strategy": "per_item",
            "threshold": "70",
            "per_chain": "3",
            "fusion": "concat",
            "seeds": "0, 1, 2",
            "knowledge": "sqlite:///runs/knowledge.db",
        },
        rows=tuple(
            MetricRow(
                name,
                note,
                {
                    metric: Estimate(base * f, base * f - 0.004 * f, base * f + 0.0043 * f)
                    for metric, f in metrics.items()
                },
            )
            for name, note, base in systems
        ),
        comparisons=(
            Comparison(
                "sasrec + reasoning graphs",
                "sasrec",
                "ndcg@10",
                Estimate(0.0064, 0.0021, 0.0107),
                0.0034,
            ),
            Comparison(
                "sasrec + sequence graph",
                "sasrec",
                "ndcg@10",
                Estimate(0.0007, -0.0031, 0.0046),
                0.7211,
            ),
            Comparison(
                "popular", "sasrec", "ndcg@10", Estimate(-0.0822, -0.0931, -0.0717), 0.00001
            ),
        ),
        learning=tuple(_learning(system, seed) for system in range(3) for seed in range(3)),
        hits=(
            HitCurve("per_item", *_hits(0.42)),
            HitCurve("windowed", *_hits(0.31)),
        ),
        curves=(
            Curve(
                "ndcg@10 by verification threshold",
                (0.0, 20.0, 40.0, 60.0, 80.0, 100.0),
                (0.101, 0.1035, 0.106, 0.109, 0.1085, 0.103),
            ),
        ),
        calls=(
            StageCalls("chain", 8120, 3011, 12),
            StageCalls("extend", 2950, 1488, 0),
            StageCalls("verify", 11904, 6120, 3),
            StageCalls("score", 0, 0, 0),
        ),
        stories=tuple(made_up_story(seed) for seed in range(3)),
        notes=(
            "Graphs were built from training histories only.",
            "Intervals are over users; three seeds cannot carry an interval of their own.",
        ),
        interval="95% bootstrap interval over users",
    )


def _learning(system: int, seed: int) -> LearningCurves:
    noise = random.Random(10 * system + seed)
    name = ("sasrec", "sasrec + sequence graph", "sasrec + reasoning graphs")[system]
    epochs = tuple(range(1, 31 - 3 * seed))
    loss = tuple(5 + 3.2 * math.exp(-e / (7 - system)) + noise.gauss(0, 0.02) for e in epochs)
    peak = 0.1 + 0.006 * system
    valid = tuple(peak * (1 - math.exp(-e / 6)) + noise.gauss(0, 0.001) for e in epochs)
    return LearningCurves(name, seed, epochs, loss, valid)


def _hits(limit: float) -> tuple[tuple[int, ...], tuple[float, ...]]:
    steps = tuple(range(0, 25000, 500))
    return steps, tuple(limit * (1 - math.exp(-step / 5000)) for step in steps)
