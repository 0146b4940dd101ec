"""The tables of a shared server's people. Secrets are kept hashed: reading them opens nothing."""

from sqlalchemy import BigInteger, ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from worker.store.tables import Base, Long, Name, RunId, Seconds

_OF_PERSON = "people.name"


class PersonRow(Base):
    __tablename__ = "people"

    name: Mapped[Name] = mapped_column(primary_key=True)
    password: Mapped[Long]
    """Its argon2id hash with salt and cost, as argon2 writes them; of who signs in by a provider of
    OpenID Connect, `oidc:` with the SHA-256 of issuer and subject."""
    role: Mapped[Name]
    disabled: Mapped[bool]
    created: Mapped[Seconds]


class LimitsRow(Base):
    """What a person may take, None without a limit; everybody's stand under the empty name."""

    __tablename__ = "limits"

    person: Mapped[Name] = mapped_column(primary_key=True)
    waiting: Mapped[int | None]
    running: Mapped[int | None]
    device_seconds: Mapped[Seconds | None]
    storage: Mapped[int | None] = mapped_column(BigInteger)


class SignInRow(Base):
    """A browser's session; `id` is the SHA-256 of what its cookie holds."""

    __tablename__ = "sign_ins"

    id: Mapped[RunId] = mapped_column(primary_key=True)
    person: Mapped[Name] = mapped_column(ForeignKey(_OF_PERSON, ondelete="CASCADE"), index=True)
    created: Mapped[Seconds]
    last_seen: Mapped[Seconds]
    expires: Mapped[Seconds]
    address: Mapped[Name]
    browser: Mapped[Name]


class InvitationRow(Base):
    """A link that makes one account; `id` is the SHA-256 of what the link holds."""

    __tablename__ = "invitations"

    id: Mapped[RunId] = mapped_column(primary_key=True)
    role: Mapped[Name]
    created: Mapped[Seconds]
    expires: Mapped[Seconds]
    made_by: Mapped[Name]
    used_by: Mapped[Name]
    """Empty while it may be used."""


class PersonalTokenRow(Base):
    """A script's token; `id` is the SHA-256 of it."""

    __tablename__ = "personal_tokens"

    id: Mapped[RunId] = mapped_column(primary_key=True)
    person: Mapped[Name] = mapped_column(ForeignKey(_OF_PERSON, ondelete="CASCADE"), index=True)
    name: Mapped[Name]
    created: Mapped[Seconds]
    expires: Mapped[Seconds]
    last_used: Mapped[Seconds | None]


class AuditRow(Base):
    """One change. A person's entries stay, whatever becomes of the person."""

    __tablename__ = "audit"
    __table_args__ = (Index("audit_by_person", "person", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[Seconds]
    person: Mapped[Name]
    what: Mapped[Name]
    about: Mapped[Long]
    address: Mapped[Name]
