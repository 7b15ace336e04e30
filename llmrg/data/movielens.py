"""MovieLens as GroupLens publishes it: 100K, 1M, and the CSV files of latest-small, 20M and 32M.

Source: grouplens.org/datasets/movielens; the README of each release defines columns and codes.
Differs: the exact ages of 100K are put into the age groups of 1M; zip codes are never read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from llmrg.data.attributes import read_items, read_profiles, values_of
from llmrg.data.bad_rows import BadRows, shown
from llmrg.data.delimited import Layout, read_delimited
from llmrg.data.raw import RawTable
from llmrg.data.source import Source, read_log
from llmrg.errors import DataError
from llmrg.types import Attributes

RATINGS = ("u.data", "ratings.dat", "ratings.csv", "ratings.csv.gz")
"""The file that tells each release from the others."""

RATING_COLUMNS = ("userId", "movieId", "rating", "timestamp")
GENDERS = {"M": "male", "F": "female"}
AGE_GROUPS = (
    (1, "Under 18"),
    (18, "18-24"),
    (25, "25-34"),
    (35, "35-44"),
    (45, "45-49"),
    (50, "50-55"),
    (56, "56+"),
)
OCCUPATIONS = (
    "other",
    "academic/educator",
    "artist",
    "clerical/admin",
    "college/grad student",
    "customer service",
    "doctor/health care",
    "executive/managerial",
    "farmer",
    "homemaker",
    "K-12 student",
    "lawyer",
    "programmer",
    "retired",
    "sales/marketing",
    "scientist",
    "self-employed",
    "technician/engineer",
    "tradesman/craftsman",
    "unemployed",
    "writer",
)
GENRES_100K = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
NO_GENRE = {"unknown", "(no genres listed)"}
YEAR = re.compile(r"\((\d{4})(?:[-–]\d{0,4})?\)")


def read_movielens(folder: Path, bad: BadRows) -> Source:
    """Read any MovieLens release from its unpacked folder.

    Raises:
        DataError: if the folder holds none, or a row cannot be used.
        ResourceError: if the file of movies is missing.
    """
    names = {path.name for path in folder.iterdir()}
    if "u.data" in names:
        return _read_100k(folder, bad)
    if "ratings.dat" in names:
        return _read_1m(folder, bad)
    if names.isdisjoint(RATINGS):
        raise DataError(f"{folder}: not a MovieLens folder; looked for {', '.join(RATINGS)}")
    return _read_csv(folder, bad)


def _read_100k(folder: Path, bad: BadRows) -> Source:
    def layout(delimiter: str, *columns: str) -> Layout:
        return Layout(delimiter, quoted=False, encoding="latin-1", columns=columns)

    leading = ("movieId", "title", "released", "video", "url")
    ratings = read_delimited(folder / "u.data", layout("\t", *RATING_COLUMNS), bad)
    movies = read_delimited(folder / "u.item", layout("|", *leading, *GENRES_100K), bad)
    people = layout("|", "userId", "age", "gender", "occupation", "zip")
    flags = [movies.cells(genre) for genre in GENRES_100K]
    genres = [
        [genre for genre, flag in zip(GENRES_100K, row, strict=True) if flag == "1"]
        for row in zip(*flags, strict=True)
    ]
    return _source(ratings, movies, genres, _profiles(folder / "u.user", people, bad), bad)


def _read_1m(folder: Path, bad: BadRows) -> Source:
    def layout(*columns: str) -> Layout:
        return Layout("::", quoted=False, encoding="latin-1", columns=columns)

    ratings = read_delimited(folder / "ratings.dat", layout(*RATING_COLUMNS), bad)
    movies = read_delimited(folder / "movies.dat", layout("movieId", "title", "genres"), bad)
    people = layout("userId", "gender", "age", "occupation", "zip")
    profiles = _profiles(folder / "users.dat", people, bad)
    return _source(ratings, movies, _listed_genres(movies), profiles, bad)


def _read_csv(folder: Path, bad: BadRows) -> Source:
    remedy = "separate the columns with ',' and name them as MovieLens does"
    ratings = read_delimited(_packed(folder, "ratings.csv"), Layout(), bad)
    ratings.require(*RATING_COLUMNS, remedy=remedy)
    movies = read_delimited(_packed(folder, "movies.csv"), Layout(), bad)
    movies.require("movieId", "title", "genres", remedy=remedy)
    return _source(ratings, movies, _listed_genres(movies), {}, bad)


def _listed_genres(movies: RawTable) -> list[list[str]]:
    return [values_of(cell) for cell in movies.cells("genres")]


def _packed(folder: Path, name: str) -> Path:
    plain = folder / name
    return plain if plain.exists() else folder / f"{name}.gz"


def _source(
    ratings: RawTable,
    movies: RawTable,
    genres: Sequence[Sequence[str]],
    profiles: dict[str, Attributes],
    bad: BadRows,
) -> Source:
    titles = movies.cells("title")
    attributes = [_describe(title, of) for title, of in zip(titles, genres, strict=True)]
    items = read_items(movies, bad, item_id="movieId", titles=titles, attributes=attributes)
    log = read_log(ratings, bad, user_id="userId", item_id="movieId", timestamp="timestamp")
    return Source(log, items, profiles)


def _describe(title: str, genres: Sequence[str]) -> Attributes:
    """Genres, then the year from the last brackets that hold one, as in "Lost (2004-2010)"."""
    pairs = [("genres", genre) for genre in genres if genre not in NO_GENRE]
    years = YEAR.findall(title)
    return (*pairs, ("year", years[-1])) if years else tuple(pairs)


def _profiles(path: Path, layout: Layout, bad: BadRows) -> dict[str, Attributes]:
    """Gender, age group and occupation by userId; none where the release came without the file."""
    if not path.exists():
        return {}
    raw = read_delimited(path, layout, bad)
    ages = raw.cells("age")
    numeric = np.array([age.isdecimal() for age in ages], dtype=bool)
    bad.add_where(
        ~numeric, raw.file, raw.rows, lambda i: f"age {shown(ages[i])} is not a whole number"
    )
    raw = raw.where(numeric)
    people = zip(raw.cells("gender"), raw.cells("age"), raw.cells("occupation"), strict=True)
    return read_profiles(
        raw, bad, user_id="userId", attributes=[_person(*person) for person in people]
    )


def _person(gender: str, age: str, occupation: str) -> Attributes:
    group = [label for youngest, label in AGE_GROUPS if youngest <= int(age)][-1:]
    if occupation.isdecimal() and int(occupation) < len(OCCUPATIONS):
        occupation = OCCUPATIONS[int(occupation)]
    pairs = (
        ("gender", GENDERS.get(gender, gender)),
        *(("age", label) for label in group),
        ("occupation", occupation),
    )
    return tuple(pair for pair in pairs if pair[1])
