"""Files that ship with llmrg are found in a wheel and in a checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmrg import resources
from llmrg.errors import ResourceError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty package folder in place of the real one."""
    package = tmp_path / "llmrg"
    package.mkdir()
    monkeypatch.setattr(resources, "_PACKAGE", package)
    return package


def test_this_checkout_has_both_folders():
    assert (resources.folder("prompts") / "chain.toml").is_file()
    assert resources.folder("pipelines").name == "pipelines"


def test_a_wheel_holds_them_as_data_of_the_package(package):
    (package / "_data" / "prompts").mkdir(parents=True)
    assert resources.folder("prompts") == package / "_data" / "prompts"


def test_a_checkout_holds_them_beside_the_package(package):
    (package.parent / "pyproject.toml").touch()
    (package.parent / "pipelines").mkdir()
    assert resources.folder("pipelines") == package.parent / "pipelines"


def test_the_wheels_own_folder_wins_over_one_beside_the_package(package):
    (package / "_data" / "prompts").mkdir(parents=True)
    (package.parent / "pyproject.toml").touch()
    (package.parent / "prompts").mkdir()
    assert resources.folder("prompts") == package / "_data" / "prompts"


def test_a_folder_of_that_name_in_site_packages_is_not_ours(package):
    (package.parent / "prompts").mkdir()
    with pytest.raises(ResourceError, match=r"'prompts' is neither at .*_data.*reinstall llmrg"):
        resources.folder("prompts")


def test_a_bundled_file_is_found_by_its_name(package):
    (package / "_bundled").mkdir()
    (package / "_bundled" / "small.csv").touch()
    assert resources.bundled("small.csv") == package / "_bundled" / "small.csv"


def test_an_unknown_bundled_name_is_answered_with_the_known_ones(package):
    (package / "_bundled").mkdir()
    (package / "_bundled" / "small.csv").touch()
    with pytest.raises(ResourceError, match=r"'large\.csv' ships .* it holds: small\.csv"):
        resources.bundled("large.csv")


@pytest.mark.parametrize("name", ["../_data", "..", "/etc/passwd", "a/b", ""])
def test_a_bundled_name_never_leads_out_of_the_folder(package, name):
    (package / "_bundled" / "a").mkdir(parents=True)
    (package / "_bundled" / "a" / "b").touch()
    (package / "_data").mkdir()
    with pytest.raises(ResourceError):
        resources.bundled(name)
