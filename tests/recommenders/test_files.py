from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contracts.recommender import catalog_of, histories_of
from numpy.typing import NDArray
from safetensors.numpy import load_file

from llmrg.errors import ConfigError, DataError, MissingExtra, ResourceError
from llmrg.recommenders.base import Recommender
from llmrg.recommenders.files import load, save
from llmrg.recommenders.item_knn import ItemKNN
from llmrg.recommenders.popular import Popular

USERS = histories_of([1], [2, 3])


class Holding(Popular):
    """Saves whatever arrays and settings a test puts into it."""

    def __init__(self, arrays: dict[str, Any], settings: dict[str, Any]) -> None:
        self.arrays, self.settings = arrays, settings

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        return self.arrays, self.settings


def popular_on(*items: int) -> Popular:
    recommender = Popular()
    recommender.fit(histories_of(list(items)), catalog_of(4))
    return recommender


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "model"
    save(popular_on(1, 2, 2), folder)
    return folder


def edit(folder: Path, **changes: Any) -> None:
    """Overwrite fields of model.json; None removes one."""
    path = folder / "model.json"
    written = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: v for key, v in written.items() if v is not None}))


def test_a_saved_folder_holds_two_readable_files_and_nothing_else(saved: Path) -> None:
    assert sorted(file.name for file in saved.iterdir()) == ["model.json", "model.safetensors"]
    described = json.loads((saved / "model.json").read_text())
    assert described["name"] == "popular"
    assert described["version"] == 1
    assert described["settings"] == {}
    assert load_file(saved / "model.safetensors")["counts"].tolist() == [0, 1, 2, 0]


def test_settings_come_back_with_the_recommender(tmp_path: Path) -> None:
    item_knn = ItemKNN(neighbors=7, max_length=3, half_life=2.5)
    item_knn.fit(histories_of([1, 2, 3]), catalog_of(5))
    save(item_knn, tmp_path)
    loaded = load(tmp_path)
    assert isinstance(loaded, ItemKNN)
    assert (loaded.neighbors, loaded.max_length, loaded.half_life) == (7, 3, 2.5)


def test_saving_again_replaces_the_model_and_leaves_other_files_alone(saved: Path) -> None:
    (saved / "notes.txt").write_text("mine")
    save(popular_on(3, 3, 3), saved)
    assert load(saved).score(USERS)[0].tolist() == [-np.inf, 0.0, 0.0, 3.0]
    assert (saved / "notes.txt").read_text() == "mine"


def test_views_and_scalars_are_saved_as_they_read(tmp_path: Path) -> None:
    table = np.arange(6, dtype=np.float32).reshape(2, 3)
    arrays = {"turned": table.T, "every_other": table[0, ::2], "number": np.float32(4.0)}
    save(Holding(arrays, {}), tmp_path)
    read = load_file(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(read["turned"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(read["every_other"], [0, 2])
    assert read["number"].shape == ()
    assert read["number"] == 4.0


def test_a_save_that_fails_leaves_the_old_model_and_no_rubbish(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(descriptor: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        save(popular_on(3, 3, 3), saved)
    assert sorted(file.name for file in saved.iterdir()) == ["model.json", "model.safetensors"]
    assert load(saved).score(USERS)[0].tolist() == [-np.inf, 1.0, 2.0, 0.0]


def test_a_crash_between_the_two_files_is_noticed(saved: Path, tmp_path: Path) -> None:
    save(popular_on(3, 3, 3), tmp_path / "newer")
    (tmp_path / "newer" / "model.safetensors").replace(saved / "model.safetensors")
    with pytest.raises(DataError, match=r"model\.safetensors is damaged"):
        load(saved)


def test_one_flipped_bit_is_noticed(saved: Path) -> None:
    path = saved / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="its sha256 is not the one"):
        load(saved)


def test_settings_that_cannot_be_json_are_refused_before_anything_is_written(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(Holding({}, {"temperature": float("nan")}), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_an_unknown_name_is_refused_with_a_suggestion(saved: Path) -> None:
    edit(saved, name="populer")
    with pytest.raises(ConfigError, match="no recommender 'populer'; did you mean 'popular'"):
        load(saved)


def test_a_newer_format_is_refused_whatever_else_it_holds(saved: Path) -> None:
    edit(saved, version=2, shards=["a", "b"], tensors_sha256=None)
    with pytest.raises(DataError, match="format version 2, but this llmrg reads up to 1; upgrade"):
        load(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": None},
        {"version": "1"},
        {"version": 0},
        {"name": None},
        {"tensors_sha256": None},
        {"settings": []},
        {"extra": 1},
    ],
)
def test_a_description_with_wrong_fields_is_refused(saved: Path, changes: dict[str, Any]) -> None:
    edit(saved, **changes)
    with pytest.raises(DataError, match="not a description of a saved recommender"):
        load(saved)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"\xff\xfe\x00"])
def test_a_description_that_is_not_json_is_refused(saved: Path, text: bytes) -> None:
    (saved / "model.json").write_bytes(text)
    with pytest.raises(DataError, match="not a description of a saved recommender"):
        load(saved)


def test_settings_edited_by_hand_that_do_not_fit_are_refused(saved: Path) -> None:
    edit(saved, settings={"neighbors": 5})
    with pytest.raises(DataError, match="settings do not fit recommender 'popular'"):
        load(saved)


def test_a_missing_folder_or_file_is_named(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match=r"nowhere.model\.json does not exist"):
        load(tmp_path / "nowhere")
    (saved / "model.safetensors").unlink()
    with pytest.raises(ResourceError, match=r"model\.safetensors does not exist"):
        load(saved)


class Bomb:
    """A pickle of it makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["model.pt", "best.CKPT", "pytorch_model.bin", "model.pkl"])
def test_pickled_files_are_refused_and_never_read(tmp_path: Path, name: str) -> None:
    mark = tmp_path / "exploded"
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / name).write_bytes(pickle.dumps(Bomb(mark)))
    for path in (folder / name, folder):
        with pytest.raises(DataError, match="may hold a pickle, which can run any code"):
            load(path)
    assert not mark.exists()


def test_a_checkpoint_beside_a_saved_model_does_no_harm(saved: Path) -> None:
    (saved / "last.pt").write_bytes(b"something of another program")
    assert isinstance(load(saved), Popular)


def test_without_safetensors_the_line_to_type_is_given(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    recommender: Recommender = popular_on(1)
    with pytest.raises(MissingExtra, match=r'pip install "llmrg\[learn\]"'):
        recommender.save(saved)
    with pytest.raises(MissingExtra, match="safetensors"):
        load(saved)
