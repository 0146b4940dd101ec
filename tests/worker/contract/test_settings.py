"""What the environment says, and how a wrong value is refused."""

from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from worker.contract.errors import UserError
from worker.contract.settings import Settings, _wrong, hidden, refuse_weak, settings, weakness


def test_bounds_of_memory_are_read_with_their_units(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().max_memory == {}
    monkeypatch.setenv("LETHE_MAX_MEMORY", "cuda:0=20GB, cpu=1.5MB")
    assert Settings().max_memory == {"cuda:0": 20_000_000_000, "cpu": 1_500_000}


@pytest.mark.parametrize("value", ["20GB", "cuda=20GB", "cpu=much", "cpu=-1GB", "disk=1GB"])
def test_a_bound_that_cannot_be_read_is_refused_with_one_that_can(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("LETHE_MAX_MEMORY", value)
    with pytest.raises(ValidationError, match="expected one like cuda:0=20GB"):
        Settings()


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("LETHE_PORT", "70000", "LETHE_PORT is '70000': input should be less than"),
        ("LETHE_LANES", "two", "LETHE_LANES is 'two': input should be a valid integer"),
        ("LETHE_MAX_MEMORY", "much", "LETHE_MAX_MEMORY is 'much': 'much' is no bound of memory"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)
    settings.cache_clear()
    with pytest.raises(UserError) as refused:
        settings()
    assert refused.value.message.startswith(words)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:geheim@host/x", "postgresql://me:***@host/x"),
        ("postgresql://me:a@b/c@host/x", "postgresql://me:***@host/x"),
        ("s3://bucket/x?secret=geheim&region=eu", "s3://bucket/x?secret=***&region=eu"),
        ("sqlite:////data/x.sqlite", "sqlite:////data/x.sqlite"),
        ("cannot reach redis://:geheim@host now", "cannot reach redis://:***@host now"),
    ],
)
def test_passwords_in_urls_are_hidden(url: str, shown: str) -> None:
    assert hidden(url) == shown


def test_what_is_not_set_is_private_and_on_this_machine() -> None:
    own = Settings(data="d")
    assert (own.host, own.port, own.device, own.lanes, own.verify) == (
        "127.0.0.1",
        8420,
        "auto",
        2,
        "changed",
    )
    assert (own.token, own.plugins, own.model_roots) == (None, None, ())
    assert {own.database_url, own.artifacts_url, own.proxies, own.worker_host} == {""}
    here = Path("d").resolve()
    assert own.database == f"sqlite:///{here}/lethe.sqlite"
    assert own.artifacts == f"file://{here}/artifacts"
    assert own.own_models == here / "models"
    assert Settings().data == Path("data")


def test_what_is_set_is_taken_instead() -> None:
    set_ = Settings(database_url="sqlite:////x", artifacts_url="s3://b/x", model_roots="/a::/b")
    assert (set_.database, set_.artifacts) == ("sqlite:////x", "s3://b/x")
    assert set_.model_roots == (Path("/a"), Path("/b"))
    assert set_.roots == (Path("/a"), Path("/b"), set_.own_models)


@pytest.mark.parametrize(
    ("amount", "n_bytes"),
    [("1KB", 10**3), ("1.5 MB", 1_500_000), ("2GB", 2 * 10**9), ("1TB", 10**12), ("0GB", 0)],
)
def test_units_of_memory_are_powers_of_a_thousand(amount: str, n_bytes: int) -> None:
    assert Settings(max_memory=f" cpu = {amount} ,").max_memory == {"cpu": n_bytes}
    assert Settings(max_memory={"cpu": 5}).max_memory == {"cpu": 5}


@given(st.integers(0, 10**6), st.sampled_from(["KB", "MB", "GB", "TB"]))
@hypothesis.settings(derandomize=True, max_examples=30)
def test_a_larger_unit_is_a_thousand_smaller_ones(n: int, unit: str) -> None:
    units = ["KB", "MB", "GB", "TB"]
    below = units[max(units.index(unit) - 1, 0)]
    read = Settings(max_memory=f"cpu={n}{unit},cuda:0={n}{below}").max_memory
    assert read["cpu"] == read["cuda:0"] * (1000 if unit != below else 1)


@pytest.mark.parametrize("wrong", [{"port": -1}, {"port": 65536}, {"lanes": 0}, {"lanes": 3}])
def test_a_setting_out_of_its_bounds_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)
    assert (Settings(port=0).port, Settings(port=65535).port, Settings(lanes=1).lanes) == (
        0,
        65535,
        1,
    )


def test_a_wrong_token_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    error = {"loc": ("token",), "input": "geheim", "msg": "Value error, It is short"}
    assert _wrong(error) == "LETHE_TOKEN: it is short."
    monkeypatch.setenv("LETHE_PORT", "-1")
    monkeypatch.setenv("LETHE_LANES", "9")
    settings.cache_clear()
    with pytest.raises(UserError) as refused:
        settings()
    assert [field for field, _ in refused.value.problems] == ["", ""]
    settings.cache_clear()


def test_a_url_hides_every_kind_of_key() -> None:
    assert (
        hidden("x?a=1&api_key=k&Token=t;password=p") == "x?a=1&api_key=***&Token=***;password=***"
    )


@pytest.mark.parametrize(
    ("token", "words"),
    [("geheim", "has 6 characters"), ("ab" * 8, "repeats 2 characters"), ("x" * 11, "has 11")],
)
def test_a_token_that_is_guessed_soon_is_refused_without_being_said(token: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as refused:
        refuse_weak(Settings(token=token))
    assert token not in refused.value.message and "token_urlsafe" in refused.value.message
    # On a shared server it opens nothing.
    assert weakness(Settings(token=token, shared=True)) == ""


def test_a_good_token_and_none_are_taken() -> None:
    refuse_weak(Settings(token="hard to guess"))
    refuse_weak(Settings())


def test_a_provider_is_named_whole_or_refused_in_words() -> None:
    known = {"oidc_issuer": "https://login.example.org/realms/lab", "oidc_client_id": "lethe"}
    assert Settings(**known).provider_secret == "" and Settings(**known).oidc_admits == "invited"
    assert Settings(**known, oidc_client_secret="of the provider").provider_secret
    assert Settings(oidc_admits=" @Lab.example, @b.org").oidc_admits == "@lab.example, @b.org"
    wrong = (
        ({"oidc_issuer": "https://a.example"}, "needs LETHE_OIDC_CLIENT_ID"),
        (known | {"oidc_issuer": "http://login.example.org"}, "expected https://"),
        (known | {"oidc_issuer": "https://u@a.example"}, "expected https://"),
        ({"oidc_admits": "everybody"}, "expected invited, anyone"),
        ({"oidc_admits": "lab.example"}, "expected invited, anyone"),
    )
    for told, words in wrong:
        with pytest.raises(ValidationError, match=words):
            Settings(**told)


def test_a_wrong_provider_is_said_without_its_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETHE_OIDC_ISSUER", "https://a.example")
    monkeypatch.setenv("LETHE_OIDC_CLIENT_SECRET", "never shown")
    settings.cache_clear()
    with pytest.raises(UserError) as refused:
        settings()
    settings.cache_clear()
    assert refused.value.message == "LETHE_OIDC_ISSUER needs LETHE_OIDC_CLIENT_ID beside it."


def test_an_open_house_is_a_shared_server_with_some_model() -> None:
    told = Settings(shared=True, open=True, open_models="demo, small")
    assert told.open_models == ("demo", "small")
    assert Settings(shared=True, open=True).open_models == ("demo",)
    with pytest.raises(ValidationError, match="LETHE_OPEN needs LETHE_SHARED=1"):
        Settings(open=True)
    with pytest.raises(ValidationError, match="LETHE_OPEN_MODELS is empty"):
        Settings(shared=True, open=True, open_models=" , ")


def test_a_public_url_is_an_address_without_a_path() -> None:
    assert Settings(public_url="https://lethe.example.org/").address == "https://lethe.example.org"
    under = Settings(public_url="https://lethe.example.org", root_path="/labs/lethe/")
    assert under.home == "https://lethe.example.org/labs/lethe" and Settings(root_path="/").home
    for wrong in ("lethe", "//lethe", "/le the", "/..", "/lethe?x", "https://a/lethe"):
        with pytest.raises(ValidationError, match="expected a path such as /lethe"):
            Settings(root_path=wrong)
    assert Settings(host="::", port=81).address == "http://127.0.0.1:81"
    assert Settings(host="fe80::1", port=81).address == "http://[fe80::1]:81"
    for wrong in ("lethe.example.org", "https://a/b", "https://u@a", "ftp://a"):
        with pytest.raises(ValidationError, match="no path"):
            Settings(public_url=wrong)
