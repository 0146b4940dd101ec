"""Secrets from files: each secret setting, whole or refused, and who else may read it."""

from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from worker.contract.errors import UserError
from worker.contract.secret_files import LONGEST, SECRETS, exposed
from worker.contract.settings import Settings, refuse_weak, settings

GOOD = "hard to guess, and long"
URL = "postgresql+psycopg://lethe:geheim@db.example/lethe"


def file(folder: Path, content: str | bytes = f"{GOOD}\n", mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(mode)
    return path


@pytest.mark.parametrize("name", SECRETS)
def test_every_secret_setting_is_read_from_a_file(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LETHE_{name.upper()}_FILE", str(file(tmp_path, f"{URL}\r\n")))
    found = getattr(Settings(), name)
    assert (found.get_secret_value() if isinstance(found, SecretStr) else found) == URL
    monkeypatch.setenv(f"LETHE_{name.upper()}_FILE", "")
    assert not getattr(Settings(), name) and getattr(Settings(), f"{name}_file") is None


def test_every_setting_that_is_a_secret_has_its_file() -> None:
    secret = {
        n for n, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)
    }
    assert secret <= set(SECRETS)
    assert {f"{name}_file" for name in SECRETS} <= set(Settings.model_fields)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        (" \n", "is empty"),
        ("one line\nand another\n", "holds more than one line"),
        ("half\0written", "holds more than one line, or what cannot be printed"),
        (b"\xff\xfe", "is no UTF-8 text"),
        ("x" * (LONGEST + 1), f"is larger than {LONGEST} bytes"),
    ],
)
def test_a_secret_that_is_not_whole_is_refused_without_being_said(
    tmp_path: Path, content: str | bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file(tmp_path, content)
    monkeypatch.setenv("LETHE_TOKEN_FILE", str(path))
    settings.cache_clear()
    with pytest.raises(UserError) as refused:
        settings()
    settings.cache_clear()
    assert refused.value.message.startswith(f"LETHE_TOKEN_FILE is {str(path)!r}, which {words}")
    assert "half" not in refused.value.message and "another" not in refused.value.message


def test_a_file_that_is_not_there_and_one_beside_the_setting_itself_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETHE_TOKEN_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("LETHE_DATABASE_URL", URL)
    monkeypatch.setenv("LETHE_DATABASE_URL_FILE", str(file(tmp_path)))
    settings.cache_clear()
    with pytest.raises(UserError) as refused:
        settings()
    settings.cache_clear()
    said = refused.value.message
    assert "none', which cannot be read: No such file or directory." in said
    assert "LETHE_DATABASE_URL and LETHE_DATABASE_URL_FILE are both set; expected one" in said
    assert "geheim" not in said


def test_a_file_that_others_may_write_is_refused_and_one_that_they_may_read_is_said(
    tmp_path: Path,
) -> None:
    for mode in (0o620, 0o602, 0o666):
        with pytest.raises(ValidationError, match=rf"may write \(mode 0{mode:o}\).*chmod 600"):
            Settings(token_file=file(tmp_path, mode=mode))
    for mode in (0o640, 0o644):
        [sentence] = exposed(Settings(token_file=file(tmp_path, mode=mode)))
        assert f"may read (mode 0{mode:o}); expected its owner alone: chmod 600" in sentence
    assert exposed(Settings(token_file=file(tmp_path))) == []
    assert exposed(Settings()) == []


def test_a_weak_token_in_a_file_is_refused_by_the_files_setting(tmp_path: Path) -> None:
    refuse_weak(Settings(token_file=file(tmp_path)))
    with pytest.raises(UserError, match="The token of LETHE_TOKEN_FILE has 6 characters"):
        refuse_weak(Settings(token_file=file(tmp_path, "geheim\n")))
