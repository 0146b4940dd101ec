"""Glossary: the field's words, each in a sentence or two."""

from fastapi import APIRouter, Request, Response

from app.templating import render
from worker.lessons.glossary import glossary

router = APIRouter()


@router.get("/glossary")
def show(request: Request) -> Response:
    """Every term in the order of the alphabet."""
    terms = sorted(glossary().items(), key=lambda pair: pair[0].casefold())
    return render(request, "pages/glossary.html", terms=terms)
