"""Every example file on the page about data formats loads as the page says."""

import re
from pathlib import Path

import pytest

from llmrg.data.dataset import Dataset
from llmrg.data.sources import load_dataset

PAGE = Path(__file__).resolve().parents[2] / "docs" / "data_formats.md"
SECTION = re.compile(r"^## (\w+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
EXAMPLE = re.compile(r"```text\n([\w.]+)\n(.*?)```", re.DOTALL)


def example(section: str, folder: Path) -> Dataset:
    files = EXAMPLE.findall(dict(SECTION.findall(PAGE.read_text(encoding="utf-8")))[section])
    for name, content in files:
        (folder / name).write_text(content, encoding="utf-8")
    path = folder / files[0][0] if section == "SASRec" else folder
    return load_dataset(path=path, min_interactions=0)


@pytest.mark.parametrize(
    ("section", "titles", "attributes", "profile"),
    [
        (
            "Table",
            ["Emma", "Dune"],
            (("genres", "Romance"), ("genres", "Comedy")),
            {"gender": "female", "languages": "French"},
        ),
        (
            "MovieLens",
            ["James and the Giant Peach (1996)", "One Flew Over the Cuckoo's Nest (1975)"],
            (
                ("genres", "Animation"),
                ("genres", "Children's"),
                ("genres", "Musical"),
                ("year", "1996"),
            ),
            {"gender": "female", "age": "Under 18", "occupation": "K-12 student"},
        ),
        ("RecBole", ["Emma Again", "Dune"], (("class", "Romance"), ("class", "Comedy")), {}),
        ("SASRec", ["10", "20"], (), {}),
    ],
)
def test_the_examples_of_a_format_load(
    tmp_path: Path,
    section: str,
    titles: list[str],
    attributes: tuple[tuple[str, str], ...],
    profile: dict[str, str],
) -> None:
    dataset = example(section, tmp_path)
    assert [item.title for item in dataset.catalog.items] == titles
    assert dataset.catalog.items[0].attributes == attributes
    assert dict(dataset.profiles[0]) == profile
    assert len(dataset.user_history(0).interactions) == 2
