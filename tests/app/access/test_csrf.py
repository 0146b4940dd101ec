from typing import Any

import pytest
from starlette.testclient import TestClient


def test_a_form_of_another_session_is_refused(client: TestClient) -> None:
    csrf = client.headers["X-CSRF-Token"]
    client.cookies.clear()
    client.get("/?token=a-token-for-tests")
    answer = client.post("/masks/nothing/delete", headers={"X-CSRF-Token": csrf})
    assert answer.status_code == 403
    assert "earlier session" in answer.text


@pytest.mark.parametrize("given", ["", "x", "é", "a" * 5000])
def test_a_token_that_is_none_is_refused(client: TestClient, given: str) -> None:
    del client.headers["X-CSRF-Token"]
    answer = client.post("/masks/nothing/delete", data={"csrf": given})
    assert answer.status_code == 403


def test_a_file_in_place_of_the_token_is_refused(client: TestClient) -> None:
    del client.headers["X-CSRF-Token"]
    answer = client.post("/masks/nothing/delete", files={"csrf": ("a.txt", b"x")})
    assert answer.status_code == 403


def test_a_form_with_more_than_one_file_is_refused_before_a_route_reads_it(
    client: TestClient,
) -> None:
    csrf = client.headers.pop("X-CSRF-Token")
    files = [("file", ("a.csv", b"subject")), ("file", ("b.csv", b"subject"))]
    answer = client.post("/facts/upload", data={"csrf": csrf}, files=files)
    assert answer.status_code == 400 and "Maximum number of files is 1" in answer.text
    one = client.post("/facts/upload", data={"csrf": csrf}, files=files[:1])
    assert one.status_code != 400


def test_reading_needs_no_token_and_a_script_none_at_all(client: TestClient, script: Any) -> None:
    del client.headers["X-CSRF-Token"]
    assert client.get("/masks").status_code == 200
    assert script.delete("/api/masks/nothing").status_code == 404


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "null", "", "//", "http://[x]:y"])
def test_an_origin_that_is_no_address_is_another_page(script: Any, origin: str) -> None:
    assert script.delete("/api/masks/x", headers={"Origin": origin}).status_code == 403


def test_a_script_on_another_page_is_refused_even_with_the_bearer_token(script: Any) -> None:
    answer = script.delete("/api/masks/x", headers={"Origin": "https://evil.example"})
    assert answer.status_code == 403
    assert "evil.example" in answer.json()["detail"][0]["message"]


def test_our_own_page_posts_with_the_token_in_its_form_or_its_header(client: TestClient) -> None:
    ours = {"Origin": "http://127.0.0.1"}
    assert client.post("/masks/nothing/delete", headers=ours).status_code == 404, "it came through"
    token = client.headers.pop("X-CSRF-Token")
    by_form = client.post("/masks/nothing/delete", data={"csrf": token}, headers=ours)
    assert by_form.status_code == 404
    assert client.post("/masks/nothing/delete", headers=ours).status_code == 403
    other_port = client.post(
        "/masks/nothing/delete", data={"csrf": token}, headers={"Origin": "http://127.0.0.1:81"}
    )
    assert other_port.status_code == 403


def test_who_is_not_signed_in_has_no_token(stranger: TestClient) -> None:
    assert """{"X-CSRF-Token": ""}""" in stranger.get("/login").text
