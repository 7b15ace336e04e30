"""The single table of recommenders: a name on the left, where its class lives on the right.

Classes are imported when they are asked for, so a job that only needs `popular` never loads torch.
An outside package adds its own under the entry-point group "llmrg.recommenders"; the entry point's
name must be the class attribute `name`, by which saved models find their class again.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any

from llmrg.errors import ConfigError, MissingExtra
from llmrg.recommenders.base import Recommender

GROUP = "llmrg.recommenders"
ANY_KEYWORD = inspect.Parameter.VAR_KEYWORD

RECOMMENDERS: dict[str, str] = {
    "popular": "llmrg.recommenders.popular:Popular",
    "item_knn": "llmrg.recommenders.item_knn:ItemKNN",
    "sasrec": "llmrg.recommenders.sequential.sasrec:SASRec",
    "fused": "llmrg.recommenders.fused:Fused",
}
"""Built-in recommenders; an outside package cannot replace one."""


def names() -> list[str]:
    """Every name that can be asked for: the built-in ones, then those of outside packages."""
    return [*RECOMMENDERS, *sorted(_outside().keys() - RECOMMENDERS.keys())]


def recommender_class(name: str) -> type[Recommender]:
    """Import the class registered under a name.

    Raises:
        ConfigError: if the name is unknown, or what it stands for is not that recommender.
        MissingExtra: if the class needs packages that are not installed.
    """
    path = RECOMMENDERS.get(name) or _outside().get(name)
    if path is None:
        raise ConfigError(f"there is no recommender {name!r}; {_suggest(name, names())}")
    module, _, attribute = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ModuleNotFoundError as error:
        if name not in RECOMMENDERS:
            raise ConfigError(
                f"recommender {name!r} of an outside package cannot be imported: {error}"
            ) from error
        raise MissingExtra(
            f"recommender {name!r}", package=error.name or module, extra="learn"
        ) from error
    if not (isinstance(found, type) and issubclass(found, Recommender) and found.name == name):
        raise ConfigError(
            f"{path}, registered as {name!r}, is not a Recommender class with name = {name!r}"
        )
    return found


def create(name: str, settings: Mapping[str, Any] | None = None) -> Recommender:
    """Make an unfitted recommender from its name and the arguments of its constructor.

    Raises:
        ConfigError: if the name or a setting is unknown, or a setting is missing or out of range.
        MissingExtra: if the class needs packages that are not installed.
    """
    found = recommender_class(name)
    given = dict(settings or {})
    parameters = inspect.signature(found).parameters
    known = [name for name, parameter in parameters.items() if parameter.kind != ANY_KEYWORD]
    # A class that takes any keyword passes them on, and refuses those it cannot use itself.
    for key in given if len(known) == len(parameters) else ():
        if key not in known:
            hint = _suggest(key, known) if known else "it has none"
            raise ConfigError(f"recommender {name!r} has no setting {key!r}; {hint}")
    try:
        return found(**given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"recommender {name!r}: {error}") from error


def _outside() -> dict[str, str]:
    return {point.name: point.value for point in entry_points(group=GROUP)}


def _suggest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(known)}"
