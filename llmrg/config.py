"""pipelines/*.toml → typed jobs; an unknown key is refused with a suggestion.

A value is taken from, in this order: the command line (`--set table.key=value`), the environment
(`LLMRG_TABLE__KEY`), the pipeline file, the default below.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from llmrg.errors import ConfigError

JobName = Literal["build_graphs", "train", "demo"]


def _distinct(seeds: list[int]) -> list[int]:
    if len(set(seeds)) != len(seeds):
        raise ValueError(f"seeds repeat (got {seeds}); a seed run twice is not two runs")
    return seeds


class Table(BaseModel):
    """One table of a pipeline file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DataTable(Table):
    """[data]: which interactions, and how much of each history is used."""

    name: str | None = None
    path: Path | None = None
    format: str | None = None
    columns: dict[str, str] = Field(default_factory=dict)
    min_interactions: int = Field(default=5, ge=0)
    max_length: int = Field(default=50, ge=1, le=10_000)
    skip_bad_rows: bool = False


class LLMTable(Table):
    """[llm]: who reasons. The key is read from the environment and nowhere else."""

    provider: Literal["catalog", "openai", "recorded"] = "catalog"
    model: str = ""
    base_url: str = "https://api.openai.com/v1"
    api_key_env: str = ""  # empty: OPENAI_API_KEY for api.openai.com, none for this machine
    concurrency: int = Field(default=16, ge=1, le=4096)
    deadline_s: float = Field(default=60.0, gt=0)
    structured: Literal["schema", "json", "none"] = "schema"
    ledger: str = "sqlite:///runs/ledger.db"


class ReasoningTable(Table):
    """[reasoning]: how questions are put."""

    strategy: Literal["per_item"] = "per_item"
    max_chains: int = Field(default=12, ge=1, le=99)
    max_links: int = Field(default=2, ge=1, le=12)
    folds: int = Field(default=2, ge=2, le=100)
    round_size: int = Field(default=64, ge=1)


class VerifyTable(Table):
    """[verify]: how links are questioned. Threshold 0 turns verification off."""

    mode: Literal["open"] = "open"
    threshold: float = Field(default=70.0, ge=0, le=100)


class ExtendTable(Table):
    """[extend]: how chains are imagined further. per_chain 0 turns extension off."""

    per_chain: int = Field(default=3, ge=0, le=20)
    floor: float = Field(default=0.8, ge=0, le=1)


class KnowledgeTable(Table):
    """[knowledge]: where verified links are kept, and whether they are used."""

    url: str = "sqlite:///runs/knowledge.db"
    enabled: bool = True


class GraphsTable(Table):
    """[graphs]: where graphs are written, and read from for training."""

    path: Path = Path("graphs/built/graphs")


class RecommenderTable(Table):
    """[recommender]: which model; `settings` are its own plain arguments."""

    name: str = "sasrec"
    settings: dict[str, Any] = Field(default_factory=dict)


class FusionTable(Table):
    """[fusion]: whether and how graphs are fused into the recommender."""

    kind: Literal["none", "concat"] = "none"
    encoder: Literal["srgnn"] = "srgnn"
    graph: Literal["llmrg", "sequence"] = "llmrg"
    warm_start: bool = True  # start from the host as it was trained alone with the same seed
    learning_rate: float | None = Field(default=None, gt=0)  # [train]'s if not given
    settings: dict[str, Any] = Field(default_factory=dict)


class TrainTable(Table):
    """[train]: the training loop."""

    epochs: int = Field(default=60, ge=1)
    seeds: Annotated[list[int], AfterValidator(_distinct)] = Field(
        default_factory=lambda: [0, 1, 2], min_length=1
    )
    device: str = "auto"
    learning_rate: float = Field(default=1e-3, gt=0)
    weight_decay: float = Field(default=0.01, ge=0)
    batch_tokens: int = Field(default=1024, ge=1)
    patience: int = Field(default=10, ge=1)
    validate_every: int = Field(default=1, ge=1)
    clip_norm: float = Field(default=5.0, ge=0)
    warmup_steps: int = Field(default=0, ge=0)


class EvaluateTable(Table):
    """[evaluate]: the split and the cut-offs of the report."""

    split: Literal["leave_one_out", "global_time"] = "leave_one_out"
    at: list[Annotated[int, Field(ge=1)]] = Field(default_factory=lambda: [5, 10, 20], min_length=1)


class RunTable(Table):
    """[run]: where results go."""

    path: Path = Path("runs/run")


class Job(BaseSettings):
    """One pipeline file with all its tables."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="LLMRG_", env_nested_delimiter="__"
    )

    job: JobName
    data: DataTable = DataTable()
    llm: LLMTable = LLMTable()
    reasoning: ReasoningTable = ReasoningTable()
    verify: VerifyTable = VerifyTable()
    extend: ExtendTable = ExtendTable()
    knowledge: KnowledgeTable = KnowledgeTable()
    graphs: GraphsTable = GraphsTable()
    recommender: RecommenderTable = RecommenderTable()
    fusion: FusionTable = FusionTable()
    train: TrainTable = TrainTable()
    evaluate: EvaluateTable = EvaluateTable()
    run: RunTable = RunTable()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line over environment over file; `load_job` gives the first and the last."""
        assert isinstance(init_settings, InitSettingsSource)
        given = init_settings.init_kwargs
        if "_recorded" in given:
            return (InitSettingsSource(settings_cls, given["_recorded"]),)
        return (
            InitSettingsSource(settings_cls, given.get("_set", {})),
            EnvSettingsSource(settings_cls),
            InitSettingsSource(settings_cls, given.get("_file", {})),
        )


def load_job(path: Path, overrides: Iterable[str] = ()) -> Job:
    """Read a pipeline file.

    Args:
        overrides: "table.key=value" texts; a value is TOML, and a bare word is a string.

    Raises:
        ConfigError: naming the file, the key and what was meant.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such pipeline file") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        return Job(_file=table, _set=parse_overrides(overrides))  # type: ignore[call-arg]
    except ValidationError as error:
        raise ConfigError(f"{path}: {_explain(error)}") from None
    except SettingsError as error:
        raise ConfigError(f"environment: {error}; lists and tables are JSON there") from None


def restore_job(table: dict[str, Any], place: Path) -> Job:
    """Rebuild a job from a manifest; the environment has no say in what was run.

    Raises:
        ConfigError: if the manifest was written by another version with other keys.
    """
    try:
        return Job(_recorded=table)  # type: ignore[call-arg]
    except ValidationError as error:
        raise ConfigError(f"{place}: {_explain(error)}") from None


def parse_overrides(overrides: Iterable[str]) -> dict[str, Any]:
    """Turn "table.key=value" texts into nested tables.

    Raises:
        ConfigError: for a text without "=".
    """
    result: dict[str, Any] = {}
    for override in overrides:
        dotted, separator, text = override.partition("=")
        if not separator or not dotted:
            raise ConfigError(f"--set {override!r}: write table.key=value")
        try:
            value = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            value = text
        *tables, key = dotted.strip().split(".")
        inner = result
        for name in tables:
            inner = inner.setdefault(name, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"--set {override!r}: {name!r} is a value, not a table")
        inner[key] = value
    return result


def _explain(error: ValidationError) -> str:
    """The first problem in one line, with a suggestion for an unknown key."""
    problem = error.errors(include_url=False)[0]
    *tables, key = (str(part) for part in problem["loc"])
    place = f"[{'.'.join(tables)}]" if tables else "the file"
    if problem["type"] == "extra_forbidden":
        close = difflib.get_close_matches(key, _known_keys(tables), n=1)
        hint = f"; did you mean '{close[0]}'?" if close else ""
        return f"unknown key '{key}' in {place}{hint}"
    if problem["type"] == "missing":
        return f"the key '{key}' is missing in {place}"
    return f"'{key}' in {place}: {problem['msg']} (got {problem['input']!r})"


def _known_keys(tables: list[str]) -> list[str]:
    fields: Mapping[str, Any] = Job.model_fields
    for name in tables:
        fields = getattr(fields[name].annotation, "model_fields", {}) if name in fields else {}
    return list(fields)
