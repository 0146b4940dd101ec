"""The glossary is a page of its own, and Home leads into the first lesson."""

from starlette.testclient import TestClient

from worker.lessons.glossary import glossary


def test_every_term_is_on_the_page(client: TestClient) -> None:
    page = client.get("/glossary").text
    assert page.count("<dt") == len(glossary()) > 30
    assert "Taking a state out of one run" in page


def test_home_leads_a_newcomer_into_the_first_lesson_and_to_a_finished_study(
    client: TestClient,
) -> None:
    page = client.get("/").text.partition("<main")[2]
    assert page.index('href="/lessons/where"') < page.index('href="/localize"')
    assert 'href="/gallery/paper_comparison"' in page
