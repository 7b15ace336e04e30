from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from llmrg.errors import ConfigError, MissingExtra
from llmrg.recommenders import registry
from llmrg.recommenders.item_knn import ItemKNN
from llmrg.recommenders.popular import Popular


class Alphabetical(Popular):
    """Stands for the recommender of an outside package."""

    name = "alphabetical"


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Entry points of outside packages: what a test puts in is registered."""
    points: dict[str, str] = {}

    def found(*, group: str) -> list[EntryPoint]:
        assert group == "llmrg.recommenders"
        return [EntryPoint(name, value, group) for name, value in points.items()]

    monkeypatch.setattr(registry, "entry_points", found)
    monkeypatch.setitem(sys.modules, "an_outside_package", sys.modules[__name__])
    return points


def test_a_name_gives_its_class() -> None:
    assert registry.recommender_class("popular") is Popular
    assert registry.recommender_class("item_knn") is ItemKNN


def test_every_built_in_name_is_listed() -> None:
    assert set(registry.names()) >= {"popular", "item_knn", "sasrec", "fused"}


def test_popular_comes_without_torch() -> None:
    code = (
        "import sys; from llmrg.recommenders.registry import create, names; "
        "names(); create('popular'); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match="no recommender 'sasrek'; did you mean 'sasrec'"):
        registry.recommender_class("sasrek")


def test_a_name_like_no_other_is_refused_with_the_list() -> None:
    with pytest.raises(ConfigError, match="choose from popular, item_knn, "):
        registry.recommender_class("zzz")


def test_settings_reach_the_constructor() -> None:
    recommender = registry.create("item_knn", {"neighbors": 3})
    assert isinstance(recommender, ItemKNN)
    assert recommender.neighbors == 3


def test_an_unknown_setting_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(
        ConfigError, match="'item_knn' has no setting 'neigbors'; did you mean 'neighbors'"
    ):
        registry.create("item_knn", {"neigbors": 3})
    with pytest.raises(ConfigError, match="'popular' has no setting 'k'; it has none"):
        registry.create("popular", {"k": 3})


def test_a_setting_out_of_range_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match=r"recommender 'item_knn': .*neighbors >= 1"):
        registry.create("item_knn", {"neighbors": 0})


def test_a_missing_package_is_answered_with_the_line_to_type(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(registry.RECOMMENDERS, "popular", "a_package_nobody_has.models:Popular")
    with pytest.raises(MissingExtra, match=r'a_package_nobody_has; run: pip install "llmrg\[learn'):
        registry.recommender_class("popular")


def test_an_outside_package_adds_a_recommender(outside: dict[str, str]) -> None:
    outside["alphabetical"] = "an_outside_package:Alphabetical"
    assert registry.names()[-1] == "alphabetical"
    assert registry.recommender_class("alphabetical") is Alphabetical


def test_an_outside_package_cannot_replace_a_built_in_one(outside: dict[str, str]) -> None:
    outside["popular"] = "an_outside_package:Alphabetical"
    assert registry.recommender_class("popular") is Popular
    assert registry.names().count("popular") == 1


@pytest.mark.parametrize("value", ["an_outside_package:registry", "an_outside_package:Nothing"])
def test_an_entry_point_to_something_else_is_refused(outside: dict[str, str], value: str) -> None:
    outside["alphabetical"] = value
    with pytest.raises(ConfigError, match="is not a Recommender class with name = 'alphabetical'"):
        registry.recommender_class("alphabetical")


def test_a_class_saved_under_another_name_is_refused(outside: dict[str, str]) -> None:
    outside["reversed"] = "an_outside_package:Alphabetical"
    with pytest.raises(ConfigError, match="is not a Recommender class with name = 'reversed'"):
        registry.recommender_class("reversed")


def test_an_outside_package_that_cannot_be_imported_is_named(outside: dict[str, str]) -> None:
    outside["gone"] = "a_package_nobody_has:Gone"
    with pytest.raises(ConfigError, match="recommender 'gone' of an outside package cannot be"):
        registry.recommender_class("gone")
