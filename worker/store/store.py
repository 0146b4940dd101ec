"""The store: one database and one place for artifacts, opened by app and worker alike."""

from typing import Self

from sqlalchemy import Engine

from worker.contract.private import make_folder
from worker.contract.settings import Settings
from worker.store.acting import ActingStore
from worker.store.artifacts import Artifacts
from worker.store.attempts import AttemptStore
from worker.store.audit import AuditStore
from worker.store.circuits import CircuitStore
from worker.store.classes import ClassStore
from worker.store.database import Database
from worker.store.facts import FactStore
from worker.store.guests import GuestStore
from worker.store.halts import HaltStore
from worker.store.identities import IdentityStore
from worker.store.invitations import InvitationStore
from worker.store.knowledge import KnowledgeStore
from worker.store.lessons import LessonStore
from worker.store.limits import LimitStore
from worker.store.masks import MaskStore
from worker.store.menus import Menus
from worker.store.migrate import migrate
from worker.store.paces import PaceStore
from worker.store.people import PeopleStore
from worker.store.personal_tokens import TokenStore
from worker.store.projects import ProjectStore
from worker.store.results import Results
from worker.store.runs import RunStore
from worker.store.sessions import SessionStore
from worker.store.sharing import SharingStore
from worker.store.sign_ins import SignInStore
from worker.store.submissions import SubmissionStore
from worker.store.texts import TextStore
from worker.store.workers import WorkerStore


class Store(
    RunStore,
    AttemptStore,
    FactStore,
    KnowledgeStore,
    TextStore,
    MaskStore,
    WorkerStore,
    HaltStore,
    SessionStore,
    SubmissionStore,
    PaceStore,
    LessonStore,
    CircuitStore,
    PeopleStore,
    SignInStore,
    InvitationStore,
    IdentityStore,
    LimitStore,
    TokenStore,
    AuditStore,
    ProjectStore,
    ClassStore,
    GuestStore,
    SharingStore,
    ActingStore,
):
    """Everything that is remembered. Usable from threads; one per process is enough."""

    def __init__(self, database: Database, artifacts: Artifacts) -> None:
        self.database = database
        self.artifacts = artifacts
        self.announced = Menus()
        self.known_results = Results()

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open the store that the settings name, and bring its tables to the newest revision."""
        make_folder(settings.data)
        database = Database(settings.database)
        migrate(database)
        cache = settings.data.resolve() / "cache" / "artifacts"
        return cls(database, Artifacts(settings.artifacts, cache))

    @property
    def engine(self) -> Engine:
        """The engine that writes."""
        return self.database.engine

    def close(self) -> None:
        """Close every connection."""
        self.database.close()
