"""The three layouts of MovieLens, in a few rows each, and the codes of their READMEs."""

import gzip
from pathlib import Path

import pytest

from llmrg.data.dataset import Dataset
from llmrg.data.sources import load_dataset
from llmrg.errors import ConfigError, DataError, ResourceError
from llmrg.types import Item, ItemId


def load(folder: Path) -> Dataset:
    return load_dataset(path=folder, min_interactions=0)


def flags(*places: int) -> str:
    return "|".join("1" if place in places else "0" for place in range(19))


@pytest.fixture
def ml_100k(tmp_path: Path) -> Path:
    (tmp_path / "u.data").write_text("196\t2\t3\t881250949\n196\t1\t3\t881250949\n186\t267\t1\t9\n")
    rows = (
        f"1|Amélie (2001)|01-Jan-2001||http://x|{flags(5, 14)}",
        f"2|Shanghai Triad (Yao a yao) (1995) (V)|01-Jan-1995||http://y|{flags(8)}",
        f"267|unknown||||{flags(0)}",
    )
    (tmp_path / "u.item").write_text("\n".join(rows), encoding="latin-1")
    (tmp_path / "u.user").write_text("196|49|M|writer|55105\n186|7|F|other|V1G4L\n")
    return tmp_path


@pytest.fixture
def ml_1m(tmp_path: Path) -> Path:
    (tmp_path / "ratings.dat").write_text("1::10::5::978300760\n1::11::3::978300760\n2::10::4::7\n")
    (tmp_path / "movies.dat").write_text(
        "10::Title, The (1999)::Animation|Children's\n11::Misérables, Les: 2 (1995)::Drama\n",
        encoding="latin-1",
    )
    (tmp_path / "users.dat").write_text("1::F::1::10::48067\n2::M::56::0::70072\n")
    return tmp_path


@pytest.fixture
def ml_csv(tmp_path: Path) -> Path:
    (tmp_path / "ratings.csv").write_text(
        "userId,movieId,rating,timestamp\r\n1,5,4.0,964982703\r\n1,6,4.5,964982000\r\n"
    )
    (tmp_path / "movies.csv").write_text(
        'movieId,title,genres\r\n5,"American President, The (1995)",Comedy|Drama\r\n'
        "6,Death Note: Desu nôto (2006–2007) ,(no genres listed)\r\n",
        encoding="utf-8",
    )
    return tmp_path


def test_100k_gives_genres_from_flags_and_the_year_from_the_title(ml_100k: Path) -> None:
    assert load(ml_100k).catalog.items == (
        Item(
            ItemId("1"),
            "Amélie (2001)",
            (("genres", "Comedy"), ("genres", "Romance"), ("year", "2001")),
        ),
        Item(
            ItemId("2"),
            "Shanghai Triad (Yao a yao) (1995) (V)",
            (("genres", "Drama"), ("year", "1995")),
        ),
        Item(ItemId("267"), "unknown", ()),
    )


def test_100k_ages_are_put_into_groups_and_zip_codes_left_out(ml_100k: Path) -> None:
    assert load(ml_100k).profiles == (
        (("gender", "male"), ("age", "45-49"), ("occupation", "writer")),
        (("gender", "female"), ("age", "Under 18"), ("occupation", "other")),
    )


def test_equal_timestamps_keep_the_order_of_the_file(ml_100k: Path) -> None:
    dataset = load(ml_100k)
    first = dataset.user_history(dataset.row_of["196"])
    assert [interaction.item_id for interaction in first.interactions] == ["2", "1"]


def test_1m_codes_are_decoded_as_its_readme_says(ml_1m: Path) -> None:
    dataset = load(ml_1m)
    assert dataset.profiles == (
        (("gender", "female"), ("age", "Under 18"), ("occupation", "K-12 student")),
        (("gender", "male"), ("age", "56+"), ("occupation", "other")),
    )
    assert [(item.title, item.attributes) for item in dataset.catalog.items] == [
        (
            "Title, The (1999)",
            (("genres", "Animation"), ("genres", "Children's"), ("year", "1999")),
        ),
        ("Misérables, Les: 2 (1995)", (("genres", "Drama"), ("year", "1995"))),
    ]


def test_1m_without_its_file_of_users_has_empty_profiles(ml_1m: Path) -> None:
    (ml_1m / "users.dat").unlink()
    assert load(ml_1m).profiles == ((), ())


def test_1m_without_its_file_of_movies_is_not_complete(ml_1m: Path) -> None:
    (ml_1m / "movies.dat").unlink()
    with pytest.raises(ResourceError, match=r"no file .*movies\.dat"):
        load(ml_1m)


def test_an_age_that_is_no_number_is_a_bad_row(ml_1m: Path) -> None:
    (ml_1m / "users.dat").write_text("1::F::1::10::48067\n2::M::old::0::70072\n")
    with pytest.raises(DataError, match=r"users\.dat, row 2: age 'old' is not a whole number"):
        load(ml_1m)
    assert load_dataset(path=ml_1m, min_interactions=0, skip_bad_rows=True).profiles[1] == ()


def test_csv_gives_whole_titles_years_and_no_empty_genre(ml_csv: Path) -> None:
    assert [(item.title, item.attributes) for item in load(ml_csv).catalog.items] == [
        (
            "American President, The (1995)",
            (("genres", "Comedy"), ("genres", "Drama"), ("year", "1995")),
        ),
        ("Death Note: Desu nôto (2006–2007)", (("year", "2006"),)),
    ]


def test_csv_files_may_be_packed(ml_csv: Path) -> None:
    before = load(ml_csv).digest()
    for name in ("ratings.csv", "movies.csv"):
        path = ml_csv / name
        (ml_csv / f"{name}.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert load(ml_csv).digest() == before


@pytest.mark.parametrize("name", ["ratings.csv", "ratings.dat", "u.data"])
def test_the_file_of_ratings_stands_for_its_folder(
    name: str, request: pytest.FixtureRequest
) -> None:
    layouts = {"ratings.csv": "ml_csv", "ratings.dat": "ml_1m", "u.data": "ml_100k"}
    folder: Path = request.getfixturevalue(layouts[name])
    assert load(folder / name).digest() == load(folder).digest()


def test_the_columns_of_movielens_cannot_be_renamed(ml_csv: Path) -> None:
    with pytest.raises(ConfigError, match="columns are fixed in format 'movielens'"):
        load_dataset(path=ml_csv, columns={"title": "name"})


def test_a_folder_without_ratings_is_not_movielens(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"looked for u\.data, ratings\.dat, ratings\.csv"):
        load_dataset(path=tmp_path, format="movielens")
