"""The settings. The environment is read here and nowhere else."""

import os
import re
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from worker.contract.errors import UserError
from worker.contract.known import BUNDLED_MODEL
from worker.contract.logs import Form
from worker.contract.secret_files import with_secrets

WRONG_SETTINGS = 2
"""Exit code of a process that refuses its settings: to start it again would not help."""
SHORTEST_TOKEN, FEWEST = 12, 5
"""Characters of a login token, and how many different ones."""


class Settings(BaseSettings):
    """Each setting is an environment variable `LETHE_<NAME>`; `lethe doctor` describes them all."""

    model_config = SettingsConfigDict(env_prefix="LETHE_", extra="ignore", frozen=True)

    data: Path = Field(Path("data"), description="Folder for the database, artifacts and logs.")
    host: str = Field("127.0.0.1", description="Address the web server listens on.")
    hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="More names under which the web server answers, with commas between them, for "
        "example lethe.lab.example or *.lab.example; a request for another name is refused.",
    )
    port: int = Field(
        8420, ge=0, le=65535, description="Port of the web server; 0 takes a free one."
    )
    database_url: str = Field(
        "", description="SQLAlchemy URL; empty means a SQLite file in LETHE_DATA."
    )
    database_url_file: Path | None = Field(
        None, description="File with that URL and its password, instead of LETHE_DATABASE_URL."
    )
    artifacts_url: str = Field(
        "", description="fsspec URL for arrays and deltas; empty means a folder in LETHE_DATA."
    )
    artifacts_url_file: Path | None = Field(
        None, description="File with that URL and its keys, instead of LETHE_ARTIFACTS_URL."
    )
    model_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="Folders under which models may be loaded, separated by ':'."
    )
    device: str = Field(
        "auto",
        description="auto, cpu, cuda (every GPU), cuda:1, or several as cuda:0,cuda:1: where this "
        "worker computes. A model too large for the first GPU has blocks on the others, then in "
        "the CPU's memory, then on disk.",
    )
    max_memory: Annotated[dict[str, int], NoDecode] = Field(
        {},
        description="Most memory that models may take of a device, for example "
        "cuda:0=20GB,cpu=48GB; empty: what is free.",
    )
    token: SecretStr | None = Field(
        None, description="Login and API token; generated and printed at start when not set."
    )
    token_file: Path | None = Field(
        None,
        description="File with that token, instead of LETHE_TOKEN. A secret's file, this and the "
        "others, holds one line, and nobody but its owner may write it.",
    )
    shared: bool = Field(
        False,
        description="1, or `lethe serve --shared`: people sign in with accounts of their own "
        "(`lethe user add`, then invitations), and the login token opens nothing.",
    )
    anybody: bool = Field(
        False,
        description="1: on a shared server, people may share what they made with anybody, who "
        "reads it at its address without an account; 0 closes all of it again.",
    )
    open: bool = Field(
        False,
        description="1, or `lethe serve --open`: on a shared server, who has no account reads the "
        "gallery, takes lessons and explores LETHE_OPEN_MODELS, and leaves nothing behind.",
    )
    open_models: Annotated[tuple[str, ...], NoDecode] = Field(
        (BUNDLED_MODEL,),
        description="Models that visitors of an open server may ask, by their ids with commas "
        "between them.",
    )
    open_each: int = Field(
        300, ge=1, description="Requests in a minute from one address of an open server's visitors."
    )
    open_all: int = Field(
        1200, ge=1, description="Requests in a minute of all visitors of an open server together."
    )
    open_questions: int = Field(
        24,
        ge=1,
        le=32,
        description="Questions of all visitors of an open server that wait for an answer at once; "
        "half as many of one address.",
    )
    public_url: str = Field(
        "",
        description="Address under which people reach a shared server, for example "
        "https://lethe.example.org: invitations begin with it, cookies are Secure where it is "
        "https, and other hosts' names are refused; empty: LETHE_HOST and LETHE_PORT.",
    )
    root_path: str = Field(
        "",
        description="Path under which a reverse proxy has the server, for example /lethe, and "
        "which it passes on; every address that the server gives begins with it. Empty: /.",
    )
    oidc_issuer: str = Field(
        "",
        description="Provider of OpenID Connect by which people of a shared server may sign in, as "
        "its discovery names itself, for example https://login.example.org; empty: passwords "
        "alone.",
    )
    oidc_client_id: str = Field("", description="Name under which the provider knows this server.")
    oidc_client_secret: SecretStr | None = Field(
        None, description="Secret that the provider gave this server, where it gave one."
    )
    oidc_client_secret_file: Path | None = Field(
        None, description="File with that secret, instead of LETHE_OIDC_CLIENT_SECRET."
    )
    oidc_admits: str = Field(
        "invited",
        description="Who the provider may let in without an account, as a viewer: invited (nobody, "
        "but by an invitation's link, with its role), @lab.example or several with commas between "
        "them (a verified e-mail address there), anyone.",
    )
    proxies: str = Field(
        "",
        description="Addresses of reverse proxies whose X-Forwarded-For, X-Forwarded-Proto and "
        "X-Forwarded-Host are believed, with commas between them; empty: none, and every request "
        "through one comes from the proxy's own address.",
    )
    verify: Literal["changed", "all"] = Field(
        "changed",
        description="Which weights are hashed after a run: those that were written to, or all, "
        "which also finds what another program did to them.",
    )
    lanes: int = Field(
        2,
        ge=1,
        le=2,
        description="2: quick questions have a compute process and a model of their own; 1: they "
        "share the runs' and wait for the present run, for a device too small for two.",
    )
    worker_host: str = Field(
        "",
        description="Address at which this worker answers the web server's quick questions, or "
        "0.0.0.0; empty: the address of this host that faces the database, which is 127.0.0.1 for "
        "SQLite and for a database on this host.",
    )
    metrics: bool = Field(
        False,
        description="1: /metrics gives numbers for Prometheus (queue, runs, workers, times of "
        "answers, errors) to whoever asks, without a login.",
    )
    log: Form = Field(
        "text",
        description="What server and worker log: text, lines for people; json, an object a line "
        "with time, level, logger, message, and run and person where they are known.",
    )
    plugins: Path | None = Field(
        None,
        description="Folder with more methods in localization/, unlearning/, evaluation/ and "
        "explore/, fact sets and formats in facts/, pages in pages/ (their templates in "
        "templates/), figures in figures/: each file there is found like the built-in ones.",
    )

    lessons: Path | None = Field(
        None,
        description="Folder with more lessons, one Markdown file each, which appear beside the "
        "built-in ones; `lethe lesson check FILE` says what is wrong with one.",
    )

    @model_validator(mode="before")
    @classmethod
    def _read_files(cls, given: dict[str, Any]) -> dict[str, Any]:
        return with_secrets(given)

    @field_validator("model_roots", mode="before")
    @classmethod
    def _split_roots(cls, value: object) -> object:
        return tuple(Path(p) for p in value.split(":") if p) if isinstance(value, str) else value

    @field_validator("open_models", mode="before")
    @classmethod
    def _split_models(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(one.strip() for one in value.split(",") if one.strip())

    @field_validator("hosts", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        names = tuple(one.strip().lower() for one in value.split(",") if one.strip())
        for name in names:
            if not re.fullmatch(r"(\*\.)?[a-z0-9_.:-]+", name) or name.count(":") == 1:
                raise ValueError(
                    f"{name!r} is no host's name; expected one such as lethe.lab.example, without "
                    f"https:// and port"
                )
        return names

    @field_validator("max_memory", mode="before")
    @classmethod
    def _split_memory(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return dict(_bound(part) for part in value.split(",") if part.strip())

    @field_validator("public_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        if value and not re.fullmatch(r"https?://[^/?#@\s]+/?", value):
            raise ValueError("expected http:// or https://, a host and no path")
        return value.rstrip("/")

    @field_validator("oidc_issuer")
    @classmethod
    def _check_issuer(cls, value: str) -> str:
        at_home = r"http://(localhost|127\.0\.0\.1)(:\d+)?"
        if value and not re.fullmatch(rf"(https://[^/?#@\s]+|{at_home})(/[^?#\s]*)?", value):
            raise ValueError("expected https:// and what the provider's discovery calls its issuer")
        return value

    @field_validator("oidc_admits")
    @classmethod
    def _check_admits(cls, value: str) -> str:
        value = value.strip().lower()
        domains = [one.strip() for one in value.split(",")]
        if value not in ("invited", "anyone") and not all(
            re.fullmatch(r"@[a-z0-9-]+(\.[a-z0-9-]+)+", one) for one in domains
        ):
            raise ValueError("expected invited, anyone, or domains such as @lab.example")
        return value

    @model_validator(mode="after")
    def _check_provider(self) -> Self:
        if self.oidc_issuer and not self.oidc_client_id:
            raise ValueError("LETHE_OIDC_ISSUER needs LETHE_OIDC_CLIENT_ID beside it")
        return self

    @model_validator(mode="after")
    def _check_open(self) -> Self:
        if self.open and not self.shared:
            raise ValueError(
                "LETHE_OPEN needs LETHE_SHARED=1 beside it; `lethe serve --open` sets both"
            )
        if self.open and not self.open_models:
            raise ValueError("LETHE_OPEN_MODELS is empty; expected ids of models, such as demo")
        return self

    @property
    def provider_secret(self) -> str:
        """What the provider gave this server; empty where it gave nothing."""
        return self.oidc_client_secret.get_secret_value() if self.oidc_client_secret else ""

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, value: str) -> str:
        value = value.rstrip("/")
        if value and not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+", value):
            raise ValueError("expected a path such as /lethe, of letters, digits, - and _")
        return value

    @property
    def home(self) -> str:
        """The address of the home page, without a slash at its end."""
        return self.address + self.root_path

    @property
    def address(self) -> str:
        """How the web server is reached, without a path."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        shown = f"[{host}]" if ":" in host else host
        return self.public_url or f"http://{shown}:{self.port}"

    @property
    def own_models(self) -> Path:
        """Where `lethe model add` puts models."""
        return self.data.resolve() / "models"

    @property
    def roots(self) -> tuple[Path, ...]:
        """Every folder under which models are looked for."""
        return (*self.model_roots, self.own_models)

    @property
    def database(self) -> str:
        """The database's URL, with the default filled in."""
        return self.database_url or f"sqlite:///{self.data.resolve()}/lethe.sqlite"

    @property
    def artifacts(self) -> str:
        """The artifact store's URL, with the default filled in."""
        return self.artifacts_url or f"file://{self.data.resolve()}/artifacts"


def weakness(settings: Settings) -> str:
    """What is wrong with the login token, which opens everything; empty for a good one or none."""
    token = settings.token.get_secret_value() if settings.token and not settings.shared else ""
    where = "LETHE_TOKEN" if settings.token_file is None else "The token of LETHE_TOKEN_FILE"
    if token and len(token) < SHORTEST_TOKEN:
        return f"{where} has {len(token)} characters; expected {SHORTEST_TOKEN} or more"
    if token and len(set(token)) < FEWEST:
        return f"{where} repeats {len(set(token))} characters; expected {FEWEST} different"
    return ""


def refuse_weak(settings: Settings) -> None:
    """Raise UserError for a login token that is guessed soon; no server starts with one."""
    if words := weakness(settings):
        raise UserError(
            f"{words}, since whoever guesses it can do everything. Take what "
            f"`python -c 'import secrets; print(secrets.token_urlsafe())'` prints, or leave it out "
            f"and the server makes one at each start."
        )


def hidden(url: str) -> str:
    """A URL, or a sentence with URLs, without the passwords and keys in it."""
    without = re.sub(r"(://[^/:@\s]*:)\S*@", r"\1***@", url)
    return re.sub(r"(?i)([?&;]\w*(?:passw|secret|token|key)\w*=)[^&;\s]*", r"\1***", without)


_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def _bound(part: str) -> tuple[str, int]:
    """Read one device's bound, as `cuda:0=20GB`."""
    device, _, amount = part.strip().partition("=")
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]B)", amount.strip())
    if not re.fullmatch(r"cpu|cuda:\d+", device.strip()) or found is None:
        raise ValueError(f"{part!r} is no bound of memory; expected one like cuda:0=20GB")
    return device.strip(), int(float(found[1]) * _UNITS[found[2]])


@lru_cache
def settings() -> Settings:
    """The settings of this process; raises UserError with a sentence for each wrong variable."""
    try:
        return Settings()
    except ValidationError as error:
        raise UserError(problems=[("", _wrong(one)) for one in error.errors()]) from None


def collected_every() -> float | None:
    """Seconds between two sendings of metrics to the collector that OpenTelemetry's own variables
    name; None where they name none. Raises UserError for a time that is none."""
    own = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    if not any(os.environ.get(name) for name in own):
        return None
    given = os.environ.get("OTEL_METRIC_EXPORT_INTERVAL") or "60000"
    if not re.fullmatch(r"[0-9]{1,9}", given) or int(given) == 0:
        raise UserError(
            f"OTEL_METRIC_EXPORT_INTERVAL is {given[:40]!r}; expected milliseconds between two "
            f"sendings, for example 60000."
        )
    return int(given) / 1000.0


def _wrong(error: ErrorDetails) -> str:
    """Name the variable, its value (but for a token's) and what is wrong with it."""
    if not error["loc"]:  # of several together, which the reason names
        return f"{error['msg'].removeprefix('Value error, ')}."
    variable = f"LETHE_{str(error['loc'][0]).upper()}"
    value = "" if re.search("TOKEN|SECRET$", variable) else f" is {str(error['input'])!r}"
    reason = error["msg"].removeprefix("Value error, ")
    return f"{variable}{value}: {reason[:1].lower()}{reason[1:]}."
