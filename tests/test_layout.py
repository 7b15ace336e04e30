"""What the project promises about itself: light imports, one package, every module named."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    for path in (ROOT / "llmrg").rglob("*.py")
)
HEAVY = {"torch", "openai", "langchain_core", "pandas", "sqlalchemy", "pyarrow", "matplotlib"}


def loaded_by(code: str) -> set[str]:
    """Names of the modules a fresh interpreter holds after running some code."""
    printed = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(printed.stdout.split())


def test_importing_llmrg_or_its_command_loads_nothing_heavy():
    assert not loaded_by("import llmrg, llmrg.cli") & HEAVY


@pytest.mark.parametrize("module", ["llmrg.jobs.build_graphs", "llmrg.jobs.rounds"])
def test_building_graphs_needs_no_torch(module):
    assert "torch" not in loaded_by(f"import {module}")


def test_help_is_printed_without_loading_anything_heavy():
    code = (
        "import sys\nfrom llmrg.cli import app\n"
        "try:\n    app(['--help'], standalone_mode=False)\nexcept SystemExit:\n    pass"
    )
    assert not loaded_by(code) & HEAVY


@pytest.mark.parametrize("module", MODULES)
def test_every_module_imports_and_says_what_it_is(module):
    __import__(module)
    found = sys.modules[module]
    package = found.__file__ is not None and found.__file__.endswith("__init__.py")
    assert package or (found.__doc__ and len(found.__doc__.split()) >= 5)


def test_no_file_of_the_library_is_hard_to_hold_in_mind():
    long = {
        path.relative_to(ROOT).as_posix(): lines
        for path in (ROOT / "llmrg").rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


def test_nothing_in_the_library_pickles_or_evaluates():
    banned = re.compile(r"\b(import (pickle|dill|joblib)|pickle\.load|torch\.load|eval\(|exec\()")
    for path in (ROOT / "llmrg").rglob("*.py"):
        code = re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL)
        assert not banned.search(re.sub(r"\.eval\(\)", "", code)), path


def test_the_readme_tree_names_every_module():
    tree = (ROOT / "README.md").read_text()
    for path in (ROOT / "llmrg").rglob("*.py"):
        if path.name != "__init__.py":
            assert re.search(rf"\b{path.stem}\b", tree), f"README.md does not name {path.name}"


def test_no_python_hides_where_only_data_belongs():
    for name in ("prompts", "pipelines", "graphs"):
        assert not list((ROOT / name).rglob("*.py"))
