"""The one door: names, paths and formats, and the figures of real data sets."""

import gzip
import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest

import llmrg
from llmrg.data.dataset import Dataset
from llmrg.data.sources import BUNDLED, READERS, detect_format, load_dataset
from llmrg.data.splits import leave_one_out
from llmrg.errors import ConfigError, DataError, ResourceError

PAIRS = "user_id,item_id\nu,a\n"
ML_1M = (6040, 3416, 999_611)  # spec of SASRec's file: github.com/kang205/SASRec, data/ml-1m.txt


def counts(dataset: Dataset) -> tuple[int, int, int]:
    figures = dataset.describe()
    return figures["users"], figures["items"], figures["interactions"]


def test_the_bundled_data_set_is_a_development_set() -> None:
    dataset = load_dataset(name="ml-latest-small")
    # Counted apart from this code, with a plain pandas loop over groupby sizes.
    assert counts(dataset) == (610, 3650, 90_274)
    assert dataset.note == "development set, not a benchmark"
    assert dataset.catalog.item(1).title == "Toy Story (1995)"
    assert dataset.bad_rows == ()
    whole = load_dataset(name="ml-latest-small", min_interactions=0)
    assert counts(whole) == (
        610,
        9724,
        100_836,
    )  # its README.txt; 18 of 9,742 movies have no rating


def test_two_loads_give_the_same_digest() -> None:
    first, second = (load_dataset(name="ml-latest-small").digest() for _ in range(2))
    assert first == second


def test_the_licence_lies_beside_the_bundled_files() -> None:
    folder = Path(llmrg.__file__).parent / "_bundled"
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == sorted(BUNDLED)
    readme = (folder / "ml-latest-small" / "README.txt").read_text(encoding="utf-8")
    assert "under these same license conditions" in readme
    assert sum(path.stat().st_size for path in folder.rglob("*")) < 1_000_000


@pytest.mark.shared_data
def test_the_bundled_files_are_the_original_ones(shared_data: Path) -> None:
    bundled = Path(llmrg.__file__).parent / "_bundled" / "ml-latest-small"
    original = zipfile.ZipFile(shared_data / "raw/ml-latest-small/ml-latest-small.zip")
    for name in ("ratings.csv", "movies.csv"):
        content = gzip.decompress((bundled / f"{name}.gz").read_bytes())
        assert (
            hashlib.sha256(content).digest()
            == hashlib.sha256(original.read(f"ml-latest-small/{name}")).digest()
        )


@pytest.mark.shared_data
@pytest.mark.parametrize("place", ["ml-1m", "raw/ml-1m-rebuilt", "raw/sasrec/ml-1m.txt.gz"])
def test_movielens_1m_has_the_counts_of_the_literature(shared_data: Path, place: str) -> None:
    assert counts(load_dataset(path=shared_data / place)) == ML_1M


@pytest.mark.shared_data
def test_both_forms_of_movielens_1m_hold_out_the_same_items(shared_data: Path) -> None:
    held_out = []
    for place in ("ml-1m", "raw/ml-1m-rebuilt"):
        dataset = load_dataset(path=shared_data / place)
        cases = leave_one_out(dataset.histories).test
        ids = [dataset.catalog.item(index).item_id for index in cases.targets.tolist()]
        held_out.append(dict(zip(cases.histories.user_ids.tolist(), ids, strict=True)))
        assert np.array([len(profile) for profile in dataset.profiles]).min() >= 3
    assert held_out[0] == held_out[1]


# The README of the shared data; ml-100k at 5-core counted apart with plain pandas.
SHARED = {
    "ml-100k": (943, 1349, 99_287),
    "raw/ml-100k": (943, 1349, 99_287),
    "amazon-beauty": (22_363, 12_101, 198_502),
    "amazon-sports": (35_598, 18_357, 296_337),
    "amazon-toys": (19_412, 11_924, 167_597),
    "amazon-clothing": (39_387, 23_033, 278_677),
}


@pytest.mark.shared_data
@pytest.mark.parametrize(("place", "expected"), SHARED.items(), ids=SHARED)
def test_real_data_sets_have_their_known_counts(
    shared_data: Path, place: str, expected: tuple[int, int, int]
) -> None:
    assert counts(load_dataset(path=shared_data / place)) == expected


@pytest.mark.shared_data
def test_second_ids_and_prose_of_real_items_do_not_become_attributes(shared_data: Path) -> None:
    names = {
        place: {
            name
            for item in load_dataset(path=shared_data / place).catalog.items
            for name, _ in item.attributes
        }
        for place in ("ml-1m", "ml-100k", "amazon-sports", "amazon-toys")
    }
    assert names == {
        "ml-1m": {"genres", "year"},
        "ml-100k": {"genres", "year", "release_date"},
        "amazon-sports": {"brand", "categories", "attributes"},
        "amazon-toys": {"attribute_ids"},
    }


def test_a_path_names_the_data_set_in_safe_characters(tmp_path: Path) -> None:
    folder = tmp_path / "my shop (ä)"
    folder.mkdir()
    (folder / "interactions.csv").write_text(PAIRS)
    assert load_dataset(path=folder, min_interactions=0).name == "my-shop-"
    assert load_dataset(path=folder, name="shop", min_interactions=0).name == "shop"
    assert load_dataset(name=str(folder), min_interactions=0).name == "my-shop-"
    assert load_dataset(path=folder / "interactions.csv", min_interactions=0).note == ""
    with pytest.raises(DataError, match="cannot be used in file names"):
        load_dataset(path=folder, name="my shop")


def test_an_unknown_name_lists_what_is_bundled() -> None:
    with pytest.raises(ConfigError, match="unknown data set 'ml-9m'; bundled are ml-latest-small"):
        load_dataset(name="ml-9m")
    with pytest.raises(ConfigError, match="no data set given"):
        load_dataset()


def test_a_path_to_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"no file or folder .*nowhere"):
        load_dataset(path=tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["interactions.parquet", "ratings.csv"], "table"),
        (["ratings.csv.gz"], "movielens"),
        (["u.data"], "movielens"),
        (["ratings.dat", "users.dat"], "movielens"),
        (["shop.inter"], "recbole"),
    ],
)
def test_a_folder_is_told_by_its_files(tmp_path: Path, names: list[str], expected: str) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert detect_format(tmp_path) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("log.csv", "table"),
        ("ratings.csv", "table"),  # movies.csv does not lie beside it
        ("log.jsonl.gz", "table"),
        ("ml-1m.txt.gz", "sasrec"),
        ("shop.inter", "recbole"),
    ],
)
def test_a_file_is_told_by_its_name(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / name).touch()
    assert detect_format(tmp_path / name) == expected


@pytest.mark.parametrize("archive", ["ml-1m.zip", "data.tar.gz"])
def test_an_archive_must_be_unpacked_first(tmp_path: Path, archive: str) -> None:
    (tmp_path / archive).touch()
    with pytest.raises(DataError, match=f"unpack {archive}"):
        load_dataset(path=tmp_path)
    with pytest.raises(DataError, match="unpack it and give the folder"):
        load_dataset(path=tmp_path / archive)


def test_an_empty_folder_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"looked for interactions\.\* .*u\.data.*\*\.inter"):
        load_dataset(path=tmp_path)
    with pytest.raises(DataError, match="no table of interactions; looked for"):
        load_dataset(path=tmp_path, format="table")


def test_an_unknown_format_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'xml'; known are table, movielens, recbole, sasrec"):
        load_dataset(path=tmp_path, format="xml")
    assert list(READERS) == ["table", "movielens", "recbole", "sasrec"]


def test_sasrec_files_are_pairs_in_order_of_time(tmp_path: Path) -> None:
    (tmp_path / "toy.txt").write_text("1 20\n1 3\n2 20\n")
    dataset = load_dataset(path=tmp_path / "toy.txt", min_interactions=0)
    assert [item.title for item in dataset.catalog.items] == ["3", "20"]
    assert dataset.histories.of(0).tolist() == [2, 1]
    assert dataset.histories.timestamps is None
