"""RecBole's atomic files: typed headers, token sequences, and the files beside an .inter file."""

from pathlib import Path

import pytest

from llmrg.data.dataset import Dataset
from llmrg.data.sources import load_dataset
from llmrg.errors import DataError

INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\nu\ta\t5\t20\nu\tb\t4\t10.5\n"
ITEM = (
    "item_id:token\tmovie_title:token_seq\tclass:token_seq\tprice:float\tvec:float_seq\tyear:token\n"
    'a\t"Quoted" Emma\tRomance Comedy\t9.5\t1 2\t1996\n'
    "b\tDune\tAdventure\t7\t3 4\t\n"
)
USER = "user_id:token\tage:token\tzip_code:token\nu\t24\t85711\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("shop.inter", INTER), ("shop.item", ITEM), ("shop.user", USER)):
        (tmp_path / name).write_text(text)
    return tmp_path


def load(path: Path, **columns: str) -> Dataset:
    return load_dataset(path=path, min_interactions=0, columns=columns)


def test_atomic_files_give_histories_titles_and_attributes(folder: Path) -> None:
    dataset = load(folder)
    history = dataset.user_history(0)
    assert [(i.item_id, i.timestamp) for i in history.interactions] == [("b", 10), ("a", 20)]
    assert [(item.title, item.attributes) for item in dataset.catalog.items] == [
        ('"Quoted" Emma', (("class", "Romance"), ("class", "Comedy"), ("year", "1996"))),
        ("Dune", (("class", "Adventure"),)),
    ]
    assert history.profile == (("age", "24"),)


def test_the_inter_file_stands_for_its_folder(folder: Path) -> None:
    assert load(folder / "shop.inter").digest() == load(folder).digest()


def test_an_inter_file_alone_has_no_titles(folder: Path) -> None:
    (folder / "shop.item").unlink()
    (folder / "shop.user").unlink()
    dataset = load(folder)
    assert [item.title for item in dataset.catalog.items] == ["a", "b"]
    assert dataset.profiles == ((),)


def test_columns_may_have_other_names_and_numbers_may_be_asked_for(folder: Path) -> None:
    dataset = load(folder, title="year", timestamp="rating", attributes="price, class")
    assert [item.title for item in dataset.catalog.items] == ["1996", "b"]
    assert dict(dataset.catalog.items[1].attributes) == {"class": "Adventure", "price": "7"}
    assert dataset.user_history(0).interactions[0].timestamp == 4


def test_two_inter_files_are_one_too_many(folder: Path) -> None:
    (folder / "other.inter").write_text(INTER)
    with pytest.raises(DataError, match=r"exactly one .inter file \(found other.inter, shop.inter"):
        load(folder)


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        ("user_id\titem_id:token", "'user_id'"),
        ("user_id:text\titem_id:token", "'user_id:text'"),
        ("user_id:token,item_id:token", "'user_id:token,item_id:token'"),
    ],
)
def test_a_header_without_types_is_refused(tmp_path: Path, header: str, shown: str) -> None:
    row = "u\ta" if "\t" in header else "u,a"
    (tmp_path / "shop.inter").write_text(f"{header}\n{row}\n")
    with pytest.raises(DataError) as error:
        load(tmp_path)
    assert f"shop.inter, row 1: column {shown} is not 'name:type'" in str(error.value)
    assert "separate the columns with tabs" in str(error.value)


def test_a_missing_id_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "shop.inter").write_text("uid:token\titem_id:token\nu\ta\n")
    with pytest.raises(DataError, match=r"no column 'user_id' .found 'uid', 'item_id'"):
        load(tmp_path)
    assert load(tmp_path, user_id="uid").histories.user_ids.tolist() == ["u"]
