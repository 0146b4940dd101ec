import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from worker.contract.errors import UserError
from worker.contract.result import ArrayInfo, Axis
from worker.engine.arrays import check_arrays


def described(*axes: Axis) -> dict[str, ArrayInfo]:
    return {"grid": ArrayInfo(file="a.npz", axes=axes, unit="")}


LAYER, ROLE = Axis(name="layer"), Axis(name="role", labels=("first", "last"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    np.savez_compressed(tmp_path / "a.npz", grid=np.zeros((3, 2)), other=np.zeros(4))
    return tmp_path / "a.npz"


def test_an_array_as_it_is_described_is_taken(file: Path) -> None:
    check_arrays(file, described(LAYER, ROLE))


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (described(LAYER), "has 2 axes and is described with 1"),
        (described(ROLE, LAYER), "3 entries along 'role' and 2 labels"),
        ({"none": described(LAYER)["grid"]}, "no array 'none'"),
    ],
)
def test_an_array_that_is_described_otherwise_is_refused(
    file: Path, wanted: dict[str, ArrayInfo], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        check_arrays(file, wanted)


def packed(path: Path, body: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("grid.npy", body)
    return path


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, allow_pickle=True)
    return out.getvalue()


def test_what_could_run_or_reserve_memory_is_refused_unread(tmp_path: Path) -> None:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f8", "fortran_order": False, "shape": (2**40, 2)}
    )
    for name, body, words in (
        ("claims", head.getvalue(), "claims 17,592,186,044,416 bytes"),
        ("objects", npy(np.array([[{}, {}]], dtype=object)), "holds objects"),
        ("cut", npy(np.zeros((3, 2)))[:-1], "claims 48 bytes and has 47"),
        ("none", b"", "no file of arrays"),
    ):
        with pytest.raises(UserError, match=words):
            check_arrays(packed(tmp_path / name, body), described(LAYER, ROLE))


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match="no file of arrays"):
        check_arrays(tmp_path / "a.npz", described(LAYER))


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("grid.mlp", np.nan, True),
        ("grid.mlp", -np.inf, False),
        ("components", np.nan, False),
        ("components.facts", np.nan, False),
        ("components", np.inf, False),
    ],
)
def test_numbers_that_decide_are_numbers(
    tmp_path: Path, name: str, value: float, taken: bool
) -> None:
    values = np.zeros((3, 2), np.float32)
    values[2, 1] = value
    np.savez_compressed(tmp_path / "a.npz", **{name: values})
    info = described(LAYER, ROLE)["grid"]
    if taken:
        check_arrays(tmp_path / "a.npz", {name: info})
        return
    with pytest.raises(UserError, match=f"'{name}' .* holds -?(nan|inf)"):
        check_arrays(tmp_path / "a.npz", {name: info})


def test_an_npz_of_either_version_is_read_and_one_of_a_later_is_refused(tmp_path: Path) -> None:
    values = np.ones((3, 2), np.float32)
    for version in ((1, 0), (2, 0)):
        out = io.BytesIO()
        np.lib.format.write_array(out, values, version=version)
        check_arrays(packed(tmp_path / "a.npz", out.getvalue()), described(LAYER, ROLE))
    later = out.getvalue().replace(b"NUMPY\x02\x00", b"NUMPY\x03\x00")
    with pytest.raises(UserError, match=r"'grid\.npy' is of another version") as caught:
        check_arrays(packed(tmp_path / "a.npz", later), described(LAYER, ROLE))
    assert caught.value.problems[0][0] == "bundle"
