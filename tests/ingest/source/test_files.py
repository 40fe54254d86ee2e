"""Tests of gfil/ingest/source/files.py: which files a source names, and their chunks."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from gfil.errors import BadParameter
from gfil.ingest.source import files

GOOD = b"1709251200,1,2,0.5,1,7\n"

Put = Callable[..., str]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    def write(name: str, data: bytes = GOOD) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return str(path)

    return write


def test_folder_stands_for_its_importable_files(put: Put, tmp_path: Path) -> None:
    for name in (
        "b_M1.csv",
        "a_M1.json",
        "c_M1.CSV.gz",
        ".hidden_M1.csv",
        "notes.md",
        "sub/d_M1.csv",
    ):
        put(name)
    loose = put("loose.dat")
    found = files.find([str(tmp_path), loose, "-"])
    assert found == [
        *(str(tmp_path / name) for name in ("a_M1.json", "b_M1.csv", "c_M1.CSV.gz")),
        loose,
        "-",
    ]


def test_missing_file_and_empty_folder_are_bad_parameters(tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match=r"nowhere.csv: no such file"):
        files.find([str(tmp_path / "nowhere.csv")])
    with pytest.raises(BadParameter, match=r"no file in it ends in \.csv"):
        files.find([str(tmp_path)])


@pytest.mark.parametrize(
    ("name", "importable"),
    [
        *(("a.csv", True), ("a.CSV.GZ", True), ("a.json", True), ("a.ndjson.gz", True)),
        *(("a.txt", True), ("a.gz", False), ("a.db", False), ("README.md", False), ("csv", False)),
    ],
)
def test_is_importable_knows_the_suffixes(name: str, importable: bool) -> None:
    assert files.is_importable(name) is importable


def test_seekable_file_is_read_twice_from_where_it_stands(put: Put) -> None:
    lengths: list[int] = []
    with files.open_chunks(put("a.csv"), lengths.append, twice=True) as chunks:
        assert [b"".join(chunks) for _ in range(2)] == [GOOD, GOOD]
    assert lengths == [len(GOOD)] * 2
    file = io.BytesIO(b"header\n" + GOOD)
    file.readline()
    chunks = files.FileChunks(file, lengths.append)
    assert [b"".join(chunks) for _ in range(2)] == [GOOD, GOOD]


def test_size_is_known_of_files_only(put: Put) -> None:
    assert files.size(put("a.csv")) == len(GOOD)
    assert files.size("-") == 0
