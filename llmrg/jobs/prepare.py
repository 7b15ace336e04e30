"""What every job starts with: the data, the split, and who reasons about whom."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from llmrg.config import Job
from llmrg.data.dataset import Dataset
from llmrg.data.sources import load_dataset
from llmrg.data.splits import SPLITS, Split
from llmrg.data.transitions import folds_of
from llmrg.errors import ConfigError
from llmrg.llm.base import LLM
from llmrg.llm.catalog_reasoner import CatalogReasoner
from llmrg.llm.evidence import gather_evidence
from llmrg.llm.ledger import Ledger
from llmrg.llm.wrappers import Cached, Metered

if TYPE_CHECKING:
    from llmrg.llm.openai_compatible import OpenAICompatible


@dataclass(frozen=True)
class Prepared:
    """The data of a job, and its split."""

    dataset: Dataset
    split: Split


def prepare(job: Job) -> Prepared:
    """Load the data a job names and split it."""
    table = job.data
    dataset = load_dataset(
        name=table.name,
        path=table.path,
        format=table.format,
        columns=table.columns or None,
        min_interactions=table.min_interactions,
        skip_bad_rows=table.skip_bad_rows,
    )
    return Prepared(dataset, SPLITS[job.evaluate.split](dataset.histories))


@dataclass(frozen=True)
class Reasoners:
    """Who reasons about which user.

    A language model reasons about everybody. The catalogue reasoner counts behavior, so there is
    one per fold of users, and each counts only the users of the other folds.

    Attributes:
        cleanup: what to await when the job is done: connections and files to close.
    """

    llms: tuple[LLM, ...]
    fold_of_user: NDArray[np.int64]
    cleanup: AsyncExitStack = field(default_factory=AsyncExitStack)

    def of(self, row: int) -> LLM:
        """The reasoner for the user in this row of the training histories."""
        return self.llms[int(self.fold_of_user[row])]

    @property
    def name(self) -> str:
        """All of them in one line, for reports."""
        return ", ".join(llm.name for llm in self.llms)

    def tokens(self) -> dict[str, int]:
        """Tokens paid for so far in this process, as the servers counted them."""
        totals = [llm.total for llm in self.llms if isinstance(llm, Metered)]
        return {
            name: sum(total[f"{name}_tokens"] for total in totals) for name in ("input", "output")
        }


def make_reasoners(job: Job, prepared: Prepared) -> Reasoners:
    """Build the reasoners a job names; everything they know is training data.

    Raises:
        ConfigError: if a language model is asked for without its name.
    """
    train = prepared.split.train
    if job.llm.provider == "catalog":
        folds = folds_of(train.user_ids, job.reasoning.folds)
        reasoners = [
            _catalog_reasoner(job, prepared, folds, fold) for fold in range(job.reasoning.folds)
        ]
        return Reasoners(tuple(reasoners), folds)
    everybody = np.zeros(len(train), dtype=np.int64)
    ledger = Ledger(job.llm.ledger)
    cleanup = AsyncExitStack()
    cleanup.enter_context(ledger)
    if job.llm.provider == "recorded":
        return Reasoners((_recorded(job, ledger),), everybody, cleanup)
    client = _language_model(job)
    cleanup.push_async_exit(client)
    return Reasoners((Metered(Cached(client, ledger)),), everybody, cleanup)


def _catalog_reasoner(
    job: Job, prepared: Prepared, folds: NDArray[np.int64], fold: int
) -> CatalogReasoner:
    others = np.flatnonzero(folds != fold)
    catalog = prepared.dataset.catalog
    evidence = gather_evidence(
        prepared.split.train.select(others),
        [prepared.dataset.profiles[row] for row in others],
        catalog.num_items,
    )
    label = f"fold-{fold}-of-{job.reasoning.folds}"
    return CatalogReasoner(catalog, evidence, label=label)


def _recorded(job: Job, ledger: Ledger) -> LLM:
    from llmrg.llm.recorded import Recorded

    return Recorded(ledger, model=job.llm.model or None)


def _language_model(job: Job) -> OpenAICompatible:
    from llmrg.llm.openai_compatible import OpenAICompatible

    if not job.llm.model:
        raise ConfigError('[llm] provider is "openai" but model is empty; write model = "…"')
    return OpenAICompatible(
        model=job.llm.model,
        base_url=job.llm.base_url,
        api_key_env=job.llm.api_key_env or None,
        deadline_s=job.llm.deadline_s,
    )
