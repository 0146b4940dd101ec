"""`lethe lesson …`: check a lesson's file."""

from pathlib import Path
from typing import Annotated

import typer

from worker.lessons.reading import read_file

app = typer.Typer(help="Lessons: one file each, of front matter and Markdown.")


@app.callback()
def about() -> None:
    """Lessons: one file each, of front matter and Markdown."""


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A lesson's Markdown file.")],
) -> None:
    """Say what is wrong with a lesson, and at which line; nothing of it is run."""
    lesson = read_file(file)
    questions = sum(step.question is not None for step in lesson.steps)
    typer.echo(
        f"{file}: {lesson.front.title!r}, {len(lesson.steps)} steps, {questions} questions, "
        f"{len(lesson.experiments)} experiments. Nothing is wrong with how it is written."
    )
