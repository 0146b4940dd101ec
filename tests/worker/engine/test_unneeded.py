"""What the computing process does not load as it starts, and can load later."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.engine.unneeded import UNNEEDED, without

NAME = "taken_where_it_is_there"


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / f"{NAME}.py").write_text("HELD = 1\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop(NAME, None)


def test_what_is_hidden_is_not_found_meanwhile_and_found_afterwards(there: None) -> None:
    with without(frozenset({NAME})):
        with pytest.raises(ModuleNotFoundError, match=NAME):
            importlib.import_module(NAME)
        assert importlib.import_module("json")
    assert importlib.import_module(NAME).HELD == 1


def test_it_is_found_again_after_an_error_too(there: None) -> None:
    with pytest.raises(RuntimeError), without(frozenset({NAME})):
        raise RuntimeError
    assert importlib.import_module(NAME).HELD == 1


def test_what_is_hidden_is_what_transformer_lens_brings_and_torch_and_anyio_try() -> None:
    assert {"dill", "sniffio"} == UNNEEDED
