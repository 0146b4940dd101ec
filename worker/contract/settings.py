"""The settings. The environment is read here and nowhere else."""

from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    """Each setting is an environment variable `LETHE_<NAME>`; `lethe doctor` describes them all."""

    model_config = SettingsConfigDict(env_prefix="LETHE_", extra="ignore", frozen=True)

    data: Path = Field(Path("data"), description="Folder for the database, artifacts and logs.")
    host: str = Field("127.0.0.1", description="Address the web server listens on.")
    port: int = Field(
        8420, ge=0, le=65535, description="Port of the web server; 0 takes a free one."
    )
    database_url: str = Field(
        "", description="SQLAlchemy URL; empty means a SQLite file in LETHE_DATA."
    )
    artifacts_url: str = Field(
        "", description="fsspec URL for arrays and deltas; empty means a folder in LETHE_DATA."
    )
    model_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        (), description="Folders under which models may be loaded, separated by ':'."
    )
    device: str = Field(
        "auto", description="auto, cpu, cuda, cuda:0, …: where this worker computes."
    )
    token: SecretStr | None = Field(
        None, description="Login and API token; generated and printed at start when not set."
    )
    lanes: int = Field(
        2,
        ge=1,
        le=2,
        description="2: quick questions have a compute process and a model of their own; 1: they "
        "share the runs' and wait for the present run, for a device too small for two.",
    )
    worker_host: str = Field(
        "127.0.0.1",
        description="Address at which this worker answers quick questions; name this host's own "
        "when the web server is on another.",
    )
    plugins: Path | None = Field(
        None,
        description="Folder with more methods in localization/, unlearning/, evaluation/, "
        "explore/ and facts/: each file there is found like the built-in ones.",
    )

    @field_validator("model_roots", mode="before")
    @classmethod
    def _split_roots(cls, value: object) -> object:
        return tuple(Path(p) for p in value.split(":") if p) if isinstance(value, str) else value

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


@lru_cache
def settings() -> Settings:
    """The settings of this process."""
    return Settings()
