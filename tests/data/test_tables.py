"""Any table loads: four endings, other column names, items and users beside it or within it."""

import datetime as dt
import gzip
import json
from pathlib import Path

import pandas as pd
import pytest

from llmrg.data.dataset import Dataset
from llmrg.data.sources import load_dataset
from llmrg.errors import ConfigError, DataError

CSV = "user_id,item_id,timestamp\nann,b2,20\nann,b1,10\nbob,b1,30\n"
EXPECTED = {"ann": [("b1", 10), ("b2", 20)], "bob": [("b1", 30)]}


def timed_ids(dataset: Dataset) -> dict[str, list[tuple[str, int | None]]]:
    histories = [dataset.user_history(row) for row in range(len(dataset.histories))]
    return {h.user_id: [(i.item_id, i.timestamp) for i in h.interactions] for h in histories}


def load(path: Path, **columns: str) -> Dataset:
    return load_dataset(path=path, min_interactions=0, columns=columns)


def attributes_of(dataset: Dataset) -> dict[str, list[tuple[str, str]]]:
    return {item.item_id: list(item.attributes) for item in dataset.catalog.items}


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".tsv", ".jsonl", ".json.gz", ".parquet"])
def test_every_ending_gives_the_same_histories(tmp_path: Path, ending: str) -> None:
    rows = [line.split(",") for line in CSV.split()[1:]]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    frame["timestamp"] = frame["timestamp"].astype("int64")
    path = tmp_path / f"interactions{ending}"
    if ending == ".parquet":
        frame.to_parquet(path)
    else:
        text = {
            ".csv": CSV,
            ".tsv": CSV.replace(",", "\t"),
            ".jsonl": frame.to_json(orient="records", lines=True),
            ".json": frame.to_json(orient="records", lines=True),
        }[ending.removesuffix(".gz")].encode()
        path.write_bytes(gzip.compress(text) if ending.endswith(".gz") else text)
    assert timed_ids(load(path)) == EXPECTED
    assert timed_ids(load(tmp_path)) == EXPECTED


def test_columns_may_have_other_names(tmp_path: Path) -> None:
    review = {"reviewerID": "A1", "asin": "B00", "unixReviewTime": 7, "helpful": [1, 2], "x": {}}
    (tmp_path / "reviews.json").write_text(json.dumps(review) + "\n")
    dataset = load(
        tmp_path / "reviews.json", user_id="reviewerID", item_id="asin", timestamp="unixReviewTime"
    )
    assert timed_ids(dataset) == {"A1": [("B00", 7)]}
    assert dataset.name == "reviews"


def test_windows_line_ends_blank_lines_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    text = "\ufeff" + CSV.replace("\n", "\r\n") + "\r\n\r\n"
    (tmp_path / "interactions.csv").write_bytes(text.encode())
    assert timed_ids(load(tmp_path)) == EXPECTED


def test_any_text_survives_as_id_and_on_one_line_as_title(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text(
        'user_id,item_id\n" 用户 ","a,b"\n🦊,"say ""hi"""\n', encoding="utf-8"
    )
    (tmp_path / "items.csv").write_text(
        'item_id,title\n"a,b","Amélie, Le\nfabuleux"\n"say ""hi""", 12" disc \n', encoding="utf-8"
    )
    dataset = load(tmp_path)
    assert dataset.histories.user_ids.tolist() == [" 用户 ", "🦊"]
    assert [(i.item_id, i.title) for i in dataset.catalog.items] == [
        ("a,b", "Amélie, Le fabuleux"),
        ('say "hi"', '12" disc'),
    ]


def test_whole_numbers_in_parquet_become_plain_ids(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user_id": [1, 2], "item_id": [10, 20], "position": [0, 0]})
    frame.to_parquet(tmp_path / "interactions.parquet")
    assert timed_ids(load(tmp_path)) == {"1": [("10", None)], "2": [("20", None)]}


def test_parquet_dates_become_seconds(tmp_path: Path) -> None:
    moment = dt.datetime(2000, 12, 31, 22, 12, 40, tzinfo=dt.UTC)
    frame = pd.DataFrame({"user_id": ["u"], "item_id": ["i"], "timestamp": [moment]})
    frame.to_parquet(tmp_path / "interactions.parquet")
    assert timed_ids(load(tmp_path)) == {"u": [("i", 978300760)]}


@pytest.mark.parametrize("factor", [1, 10**3, 10**6, 10**9])
def test_finer_units_of_time_are_recognized_by_their_size(tmp_path: Path, factor: int) -> None:
    rows = f"u,b,{978300760 * factor + factor // 2}\nu,a,{978300760 * factor}\n"
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\n" + rows)
    later_first = factor == 1  # whole seconds tie here, so the file decides
    order = ["b", "a"] if later_first else ["a", "b"]
    assert timed_ids(load(tmp_path)) == {"u": [(item_id, 978300760) for item_id in order]}


def test_an_empty_name_leaves_a_column_out(tmp_path: Path) -> None:
    text = "user_id,item_id,timestamp,position\nu,a,20,0\nu,b,10,1\n"
    (tmp_path / "interactions.csv").write_text(text)
    with pytest.raises(DataError, match="leave one out with columns"):
        load(tmp_path)
    assert timed_ids(load(tmp_path, position="")) == {"u": [("b", 10), ("a", 20)]}
    assert timed_ids(load(tmp_path, timestamp="")) == {"u": [("a", None), ("b", None)]}


def test_the_tables_beside_it_give_titles_attributes_and_profiles(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text(CSV)
    (tmp_path / "items.tsv").write_text(
        "item_id\ttitle\tgenres\tblurb\tyear\n"
        f"b2\tDune\tSci-Fi\t{'long ' * 20}\t1965\n"
        "b1\tEmma\tRomance|Comedy|Romance\t\t\n"
    )
    (tmp_path / "users.jsonl").write_text(
        '{"user_id": "ann", "age": 31, "zip": "48067", "languages": ["German", "French"]}\n'
    )
    dataset = load(tmp_path)
    assert [item.title for item in dataset.catalog.items] == ["Dune", "Emma"]
    assert attributes_of(dataset) == {
        "b2": [("genres", "Sci-Fi"), ("year", "1965")],
        "b1": [("genres", "Romance"), ("genres", "Comedy")],
    }
    ann = (("age", "31"), ("languages", "German"), ("languages", "French"))
    assert dataset.profiles == (ann, ())


def test_named_columns_become_attributes_whatever_they_hold(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text(CSV)
    blurb = "long " * 20
    (tmp_path / "items.csv").write_text(f"item_id,brand,blurb\nb1,Acme,{blurb}\nb2,Acme,short\n")
    (tmp_path / "users.csv").write_text("user_id,zip,age\nann,48067,31\n")
    dataset = load(tmp_path, attributes="blurb", profile="age, zip")
    assert attributes_of(dataset)["b1"] == [("blurb", blurb.strip())]
    assert dataset.profiles[0] == (("zip", "48067"), ("age", "31"))


def test_columns_that_no_two_items_share_are_identifiers(tmp_path: Path) -> None:
    rows = [f"i{n},http://x/{n},brand {n % 3},{'s' * (61 if n == 0 else 5)}" for n in range(20)]
    (tmp_path / "items.csv").write_text("item_id,url,brand,note\n" + "\n".join(rows))
    (tmp_path / "interactions.csv").write_text("user_id,item_id\nu,i0\nu,i1\n")
    # One long note in twenty is let through as a column, but not as a value.
    assert attributes_of(load(tmp_path)) == {
        "i0": [("brand", "brand 0")],
        "i1": [("brand", "brand 1"), ("note", "sssss")],
    }


def test_parquet_lists_and_numbers_become_values(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text(CSV)
    frame = pd.DataFrame(
        {
            "item_id": ["b1", "b2"],
            "tags": [["x", "y"], []],
            "year": pd.array([1995, None], dtype="Int32"),
            "pages": [12.0, 12.5],
            "brand": pd.Categorical(["Acme", "Acme"]),
            "nested": [{"a": 1}, {"a": 2}],
        }
    )
    frame.to_parquet(tmp_path / "items.parquet")
    assert attributes_of(load(tmp_path)) == {
        "b1": [("tags", "x"), ("tags", "y"), ("year", "1995"), ("pages", "12"), ("brand", "Acme")],
        "b2": [("pages", "12.5"), ("brand", "Acme")],
    }


def test_a_single_file_may_hold_titles_and_named_attributes(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "user_id,item_id,name,brand,rating\nu,a,Emma,Acme,5\nv,a,EMMA,Other,1\nv,b,Dune,,2\n"
    )
    dataset = load(tmp_path / "log.csv", title="name", attributes="brand", rating="rating")
    assert [item.title for item in dataset.catalog.items] == ["Emma", "Dune"]
    assert attributes_of(dataset) == {"a": [("brand", "Acme")], "b": []}
    assert attributes_of(load(tmp_path / "log.csv", title="name")) == {"a": [], "b": []}


def test_tables_beside_a_file_of_another_name_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(CSV)
    (tmp_path / "items.csv").write_text("item_id,title\nother,Other\n")
    assert timed_ids(load(tmp_path / "log.csv")) == EXPECTED


def test_two_tables_of_interactions_are_one_too_many(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text(CSV)
    (tmp_path / "interactions.tsv").write_text(CSV)
    with pytest.raises(DataError, match=r"interactions\.csv and interactions\.tsv; keep one"):
        load(tmp_path)


def test_a_misspelled_role_is_met_with_the_right_one(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text(CSV)
    with pytest.raises(ConfigError, match="unknown key 'item'; did you mean 'item_id'"):
        load(tmp_path, item="asin")
    with pytest.raises(ConfigError, match="unknown key 'zzz'; known are user_id, item_id"):
        load(tmp_path, zzz="asin")


@pytest.mark.parametrize("role", ["timestamp", "title", "attributes", "rating"])
def test_a_column_that_was_asked_for_must_be_there(tmp_path: Path, role: str) -> None:
    (tmp_path / "log.csv").write_text(CSV)
    with pytest.raises(DataError, match=r"row 1: no column 'gone' .found 'user_id', 'item_id'"):
        load(tmp_path / "log.csv", **{role: "gone"})
