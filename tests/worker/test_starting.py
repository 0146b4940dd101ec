"""What server and worker have loaded when they have started."""

import pytest

from tests.architecture.measures import brought_by, loaded_at_start

OF_ADAPTERS = {"datasets", "dill", "einops", "multiprocess", "pandas", "xxhash"}
"""What transformer-lens itself imports, whose adapters say how a model's blocks are laid out."""
OF_OTHERS = {"sentencepiece", "sniffio"}
"""What transformers and huggingface_hub import where it is there."""


@pytest.fixture(scope="module")
def brought() -> set[str]:
    found = brought_by("transformer-lens")
    assert {"wandb", "opentelemetry-sdk"} <= found
    return found


def test_the_server_starts_without_what_only_transformer_lens_brings(brought: set[str]) -> None:
    # sniffio tells the server's HTTP client which event loop it is in.
    assert loaded_at_start("server", brought) <= {"sniffio"}


@pytest.mark.slow
def test_a_worker_announces_itself_without_wandb_and_its_telemetry(brought: set[str]) -> None:
    loaded = loaded_at_start("worker", brought)
    assert loaded <= OF_ADAPTERS | OF_OTHERS
    assert "datasets" in loaded, "what is loaded is seen"
