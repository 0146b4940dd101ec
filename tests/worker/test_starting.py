"""What server and worker have loaded when they have started."""

import pytest

from tests.architecture.measures import brought_by, loaded_at_start


@pytest.fixture(scope="module")
def brought() -> set[str]:
    found = brought_by("transformer-lens")
    assert {"wandb", "opentelemetry-sdk"} <= found
    return found


def test_the_server_starts_without_what_only_transformer_lens_brings(brought: set[str]) -> None:
    assert "sniffio" in brought, "anyio would take it"
    loaded = loaded_at_start("server", brought | {"anyio"})
    assert loaded == {"anyio"}, "what is loaded is seen, and nothing else is"


def test_the_server_starts_without_what_signs_in_by_a_provider() -> None:
    assert loaded_at_start("server", {"authlib", "joserfc", "cryptography", "jinja2"}) == {"jinja2"}


@pytest.mark.slow
def test_a_worker_announces_itself_without_what_transformer_lens_brings(brought: set[str]) -> None:
    loaded = loaded_at_start("worker", brought | {"transformer-lens", "transformers"})
    assert loaded == {"transformers"}, "what is loaded is seen, and nothing else is"
