"""The finished runs that ship with Lethe; an open house puts them into its store before it opens,
since nothing is written for visitors."""

import logging

from sqlalchemy.exc import SQLAlchemyError

from app.templating import STATIC
from worker.contract.errors import LetheError
from worker.engine.client import Engine
from worker.engine.examples import EXAMPLES, bring, recorded

log = logging.getLogger("lethe.app")
RUNS = STATIC / "gallery" / "runs"


def shipped_ids() -> tuple[str, ...]:
    """The ids of the runs that ship."""
    return tuple(one.id for one in recorded(RUNS).values())


def have_ready(engine: Engine) -> None:
    """Put the shipped runs into the store; where that cannot be done, visitors are told so."""
    try:
        bring(next(iter(EXAMPLES)), RUNS, engine.store)
    except (LetheError, SQLAlchemyError, OSError) as error:
        log.warning("the gallery's runs are not there for visitors: %s", error)
