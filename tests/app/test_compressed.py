import gzip
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.testclient import TestClient

from app.compressed import SMALLEST, Static

PLAIN, GZIP = {"Accept-Encoding": "identity"}, {"Accept-Encoding": "gzip, br"}
SCRIPT = "let answer = 42;\n" * 200


@pytest.fixture
def files(tmp_path: Path) -> TestClient:
    (tmp_path / "a.js").write_text(SCRIPT)
    (tmp_path / "a.png").write_bytes(b"\x89PNG" + bytes(5_000))
    return TestClient(Starlette(routes=[Mount("/static", Static(directory=tmp_path))]))


def raw(client: TestClient, path: str, headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    with client.stream("GET", path, headers=headers) as answer:
        return b"".join(answer.iter_raw()), dict(answer.headers)


def test_a_script_goes_out_compressed_and_is_the_same(files: TestClient) -> None:
    body, headers = raw(files, "/static/a.js", GZIP)
    assert headers["content-encoding"] == "gzip" and "javascript" in headers["content-type"]
    assert int(headers["content-length"]) == len(body) < len(SCRIPT) / 10
    assert gzip.decompress(body).decode() == SCRIPT
    assert "accept-encoding" in headers["vary"].lower()


def test_who_cannot_read_gzip_gets_the_file_as_it_is(files: TestClient) -> None:
    body, headers = raw(files, "/static/a.js", PLAIN)
    assert "content-encoding" not in headers and body.decode() == SCRIPT


@pytest.mark.parametrize("path", ["/static/a.js", "/static/a.png"])
def test_a_file_that_a_browser_has_is_not_sent_again(files: TestClient, path: str) -> None:
    known = files.get(path, headers=GZIP).headers["etag"]
    assert files.get(path, headers=GZIP | {"If-None-Match": known}).status_code == 304
    assert files.get(path, headers=GZIP | {"If-None-Match": '"other"'}).status_code == 200


def test_a_picture_is_sent_as_it_is_and_so_is_a_part_of_a_file(files: TestClient) -> None:
    assert "content-encoding" not in raw(files, "/static/a.png", GZIP)[1]
    body, headers = raw(files, "/static/a.js", GZIP | {"Range": "bytes=0-9"})
    assert body.decode() == SCRIPT[:10] and "content-encoding" not in headers


def test_a_file_that_was_changed_is_compressed_anew(files: TestClient, tmp_path: Path) -> None:
    raw(files, "/static/a.js", GZIP)
    (tmp_path / "a.js").write_text("changed;\n" * 300)
    assert gzip.decompress(raw(files, "/static/a.js", GZIP)[0]).decode() == "changed;\n" * 300


def test_a_file_is_compressed_once_however_often_it_is_asked_for(
    files: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []
    compress = gzip.compress

    def counted(data: bytes, *how: int, mtime: int = 0) -> bytes:
        done.append(len(data))
        return compress(data, *how, mtime=mtime)

    monkeypatch.setattr(gzip, "compress", counted)
    for _ in range(3):
        assert gzip.decompress(raw(files, "/static/a.js", GZIP)[0]).decode() == SCRIPT
    assert done == [len(SCRIPT)]


def test_pages_and_the_api_go_out_compressed_where_they_are_large(client: TestClient) -> None:
    page, headers = raw(client, "/localize", GZIP)
    assert headers["content-encoding"] == "gzip"
    assert len(page) < len(gzip.decompress(page)) / 2
    small, headers = raw(client, "/healthz", GZIP)
    assert len(small) < SMALLEST and "content-encoding" not in headers
