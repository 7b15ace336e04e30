"""Bad rows stop the loading with file, row and remedy, or are left out, counted and listed."""

import datetime as dt
import gzip
from pathlib import Path

import pandas as pd
import pytest

from llmrg.data.bad_rows import BadRow, shown
from llmrg.data.delimited import BLOCK_BYTES
from llmrg.data.sources import load_dataset
from llmrg.errors import DataError

HEAD = b"user_id,item_id,timestamp\n"
LEAVE_OUT = "skip_bad_rows = true"

ROWS = {
    "too few fields": (HEAD + b"u,a,1\n\nu,b\nu,c,3\n", 4, "expected 3 fields separated by ','"),
    "too many fields": (HEAD + b"u,a,1\nu,b,2,x\nu,c,3\n", 3, "(got 4)"),
    "a date": (HEAD + b"u,a,1\nu,b,12-31\nu,c,3\n", 3, "timestamp '12-31' is not a number"),
    "no time": (HEAD + b"u,a,1\nu,c,3\nu,b,\n", 4, "timestamp '' is not a number of seconds"),
    "endless time": (HEAD + b"u,a,1\nu,b,inf\nu,c,3\n", 3, "timestamp 'inf' is not a number"),
    "no user": (HEAD + b"u,a,1\n,b,2\nu,c,3\n", 3, "'user_id' is empty"),
    "no item": (HEAD + b"u,a,1\nu,,2\nu,c,3\n", 3, "'item_id' is empty"),
    "a NUL byte": (HEAD + b"u,a,1\nu,b\0,2\nu,c,3\n", 3, "column 'item_id' holds a NUL byte"),
    "other text": (HEAD + b"u,a,1\nu,\xe9,2\nu,c,3\n", 3, "byte 0xe9 is not UTF-8 text"),
    "rows of a quoted line break": (
        HEAD + b'u,a,1\nu,"x\ny",2\nu,b,soon\nu,c,3\n',
        4,
        "timestamp 'soon'",
    ),
}

JSON_LINES = {
    "half an object": (b'{"user_id": "u"', "not one JSON object per line"),
    "a list": (b'["u", "b"]', "expected a JSON object (got list)"),
    "half a character": (b'{"user_id": "u", "item_id": "\\ud800"}', "surrogates not allowed"),
    "a NUL byte": (b'{"user_id": "u", "item_id": "\\u0000"}', "'item_id' holds a NUL byte"),
    "no item": (b'{"user_id": "u", "item_id": null}', "'item_id' is empty"),
}


@pytest.mark.parametrize(("content", "row", "problem"), ROWS.values(), ids=ROWS)
def test_a_bad_row_is_named_or_left_out(
    tmp_path: Path, content: bytes, row: int, problem: str
) -> None:
    path = tmp_path / "interactions.csv"
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        load_dataset(path=path, min_interactions=0)
    assert str(error.value).startswith(f"interactions.csv, row {row}: ")
    assert problem in str(error.value)
    assert LEAVE_OUT in str(error.value) or "save the file as UTF-8" in str(error.value)
    dataset = load_dataset(path=path, min_interactions=0, skip_bad_rows=True)
    assert {"a", "c"} <= {item.item_id for item in dataset.catalog.items}
    assert "b" not in {item.item_id for item in dataset.catalog.items}
    assert [(bad.file, bad.row) for bad in dataset.bad_rows] == [("interactions.csv", row)]
    assert problem in dataset.bad_rows[0].problem
    assert dataset.describe()["bad_rows"] == 1


@pytest.mark.parametrize(("line", "problem"), JSON_LINES.values(), ids=JSON_LINES)
def test_a_bad_line_of_json_is_named_or_left_out(tmp_path: Path, line: bytes, problem: str) -> None:
    path = tmp_path / "interactions.jsonl"
    good = b'{"user_id": "u", "item_id": "%s"}\n'
    path.write_bytes(good % b"a" + line + b"\n" + good % b"c")
    with pytest.raises(DataError) as error:
        load_dataset(path=path, min_interactions=0)
    assert str(error.value).startswith("interactions.jsonl, row 2: ")
    assert problem in str(error.value)
    dataset = load_dataset(path=path, min_interactions=0, skip_bad_rows=True)
    assert [item.item_id for item in dataset.catalog.items] == ["a", "c"]
    assert [bad.row for bad in dataset.bad_rows] == [2]


def test_a_position_must_be_a_number(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text("user_id,item_id,position\nu,a,first\n")
    with pytest.raises(DataError, match="row 2: position 'first' is not a number; correct"):
        load_dataset(path=tmp_path)


def test_an_item_described_twice_keeps_its_first_description(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text("user_id,item_id\nu,a\n")
    (tmp_path / "items.csv").write_text("item_id,title\na,Emma\n,Nobody\na,Dune\n")
    with pytest.raises(DataError, match=r"items\.csv, row 3: 'item_id' is empty"):
        load_dataset(path=tmp_path)
    dataset = load_dataset(path=tmp_path, min_interactions=0, skip_bad_rows=True)
    assert dataset.catalog.items[0].title == "Emma"
    assert dataset.bad_rows == (
        BadRow("items.csv", 3, "'item_id' is empty"),
        BadRow("items.csv", 4, "item_id 'a' was described in row 2"),
    )


def test_bad_rows_are_listed_by_file_and_row(tmp_path: Path) -> None:
    lines = ["user_id,item_id,timestamp", "u,x,1", "u,a,1", "u,a", "u,a,never"]
    (tmp_path / "interactions.csv").write_text("\n".join(lines))
    (tmp_path / "items.csv").write_text("item_id\na\na\n")
    dataset = load_dataset(path=tmp_path, min_interactions=0, skip_bad_rows=True)
    assert [(bad.file, bad.row) for bad in dataset.bad_rows] == [
        ("interactions.csv", 2),
        ("interactions.csv", 4),
        ("interactions.csv", 5),
        ("items.csv", 3),
    ]


def test_rows_of_movielens_1m_are_counted_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "ratings.dat").write_text("1::10::5::7\n1::10::5\n1::99::5::8\n")
    (tmp_path / "movies.dat").write_text("10::Emma (1996)::Drama\n")
    with pytest.raises(
        DataError, match=r"ratings\.dat, row 2: expected 4 fields separated by '::'"
    ):
        load_dataset(path=tmp_path)
    dataset = load_dataset(path=tmp_path, min_interactions=0, skip_bad_rows=True)
    assert [(bad.row, bad.problem) for bad in dataset.bad_rows] == [
        (2, "expected 4 fields separated by '::' (got 3)"),
        (3, "unknown item '99'"),
    ]


def test_row_numbers_hold_far_into_a_large_file(tmp_path: Path) -> None:
    wide = "x" * 2000
    lines = [f"u{n % 7},{wide}{n % 90},{n}" for n in range(10_000)]
    lines[9_000] = "broken"
    lines[9_500] = "u,a,soon"
    text = HEAD.decode() + "\n".join(lines)
    assert len(text) > BLOCK_BYTES
    (tmp_path / "interactions.csv").write_text(text)
    dataset = load_dataset(path=tmp_path, min_interactions=0, skip_bad_rows=True)
    assert [bad.row for bad in dataset.bad_rows] == [9_002, 9_502]


FILES = {
    "an empty file": (b"", "interactions.csv: is empty"),
    "only blank lines": (b"\n\n", "interactions.csv: is empty"),
    "only a header": (HEAD, "interactions.csv: holds no rows"),
    "semicolons": (
        b"user_id;item_id\nu;a\n",
        "row 1: no column 'user_id' (found 'user_id;item_id')",
    ),
    "semicolons and decimal commas": (
        b"user_id;item_id;rating\nu;a;4,5\n",
        "row 1: one column 'user_id;item_id;rating', but later rows have more; separate",
    ),
    "no header": (b"u,a,1\nv,b,2\n", "no column 'user_id' (found 'u', 'a', '1')"),
    "a blank header": (b"\nu,a,1\n", "row 1: is blank; the first row must name the columns"),
    "a column twice": (b"user_id,item_id,user_id\nu,a,u\n", "two columns are named 'user_id'"),
    "an open quote": (HEAD + b'u,a,1\n"u,b,2\nu,c,3\n', "row 3: a quotation mark is opened and"),
    "UTF-16": ("user_id,item_id\nu,a\n".encode("utf-16"), "row 1: byte 0xff is not UTF-8"),
}


@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES)
def test_a_file_that_is_no_table_stops_the_loading(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "interactions.csv").write_bytes(content)
    with pytest.raises(DataError) as error:
        load_dataset(path=tmp_path, min_interactions=0)
    assert message in str(error.value)
    with pytest.raises(DataError):
        load_dataset(path=tmp_path, min_interactions=0, skip_bad_rows=True)


def test_nothing_but_bad_rows_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_bytes(HEAD + b"u,a,soon\nu,b,later\n")
    with pytest.raises(DataError, match="holds no interaction that can be used"):
        load_dataset(path=tmp_path, min_interactions=0, skip_bad_rows=True)


def test_a_cut_gzip_file_is_told_from_a_bad_row(tmp_path: Path) -> None:
    whole = gzip.compress(HEAD + b"u,a,1\n" * 100)
    for content in (whole[:-20], b"plain text"):
        (tmp_path / "interactions.csv.gz").write_bytes(content)
        with pytest.raises(DataError, match=r"interactions\.csv\.gz: is not a complete gzip file"):
            load_dataset(path=tmp_path)


def test_a_file_that_is_not_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "interactions.parquet").write_bytes(HEAD)
    with pytest.raises(DataError, match=r"interactions\.parquet: cannot be read as Parquet"):
        load_dataset(path=tmp_path)


def test_a_time_of_day_is_no_timestamp(tmp_path: Path) -> None:
    frame = pd.DataFrame({"user_id": ["u"], "item_id": ["a"], "timestamp": [dt.time(12, 30)]})
    frame.to_parquet(tmp_path / "interactions.parquet")
    with pytest.raises(
        DataError, match=r"row 1: timestamp '12:30:00.*' is not a number of seconds"
    ):
        load_dataset(path=tmp_path)


def test_messages_quote_values_on_one_short_line() -> None:
    assert shown("a\nb") == r"'a\nb'"
    assert len(shown("x" * 1000)) == 60
