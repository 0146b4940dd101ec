"""What server and worker have loaded when they have started."""

import pytest

from tests.architecture.measures import brought_by, loaded_at_start

OF_OTHERS = {"dill", "sentencepiece", "sniffio"}
"""What torch, transformers and their HTTP client import for themselves where it is there."""


@pytest.fixture(scope="module")
def brought() -> set[str]:
    found = brought_by("transformer-lens")
    assert {"wandb", "opentelemetry-sdk"} <= found
    return found


def test_the_server_starts_without_what_only_transformer_lens_brings(brought: set[str]) -> None:
    # sniffio tells the server's HTTP client which event loop it is in.
    assert loaded_at_start("server", brought) <= {"sniffio"}


@pytest.mark.slow
def test_a_worker_announces_itself_without_what_transformer_lens_brings(brought: set[str]) -> None:
    loaded = loaded_at_start("worker", brought | {"transformer-lens"})
    assert loaded <= OF_OTHERS
    assert "sentencepiece" in loaded, "what is loaded is seen"
