"""What workers can do: methods with their options' schemas, models, fact sets, formats."""

from fastapi import APIRouter

from app.backend import AnnouncementDep
from worker.contract.menu import Announcement, ModelInfo

router = APIRouter(prefix="/api", tags=["menu"])


@router.get("/menu")
def menu(announcement: AnnouncementDep) -> Announcement:
    """Everything that can be asked of the workers, as they announced it."""
    return announcement


@router.get("/models")
def models(announcement: AnnouncementDep) -> tuple[ModelInfo, ...]:
    """Every model that a worker can load, or why it cannot."""
    return announcement.models
