"""A lesson's Markdown as HTML: values of experiments put in, terms explained where they stand."""

import re
from collections.abc import Iterator
from typing import Any

from markdown_it.token import Token
from markupsafe import Markup, escape

from app.formats import number
from app.pages.lessons._bench import Bench
from worker.lessons.checking import PUT_IN
from worker.lessons.glossary import forms, glossary
from worker.lessons.reading import markdown
from worker.lessons.schema import Figure, Part, Step

_HELD = re.compile("\ue000(\\d+)\ue001")
"""Where a value is to stand, through Markdown."""


class Terms:
    """Finds the glossary's words in the texts of one page; each is explained where it is first."""

    def __init__(self) -> None:
        self._explained: set[str] = set()
        words = "|".join(re.escape(form) for form in forms())
        self._term = re.compile(rf"(?<![\w-])({words})(?![\w-])([,.;:!?)]*)", re.IGNORECASE)
        self._words = {form.casefold(): word for form, word in forms().items()}

    def split(self, text: str) -> Iterator[tuple[str, str, str]]:
        """The text in pieces, each with the word that it is, or with none; and what closes it."""
        end = 0
        for found in self._term.finditer(text):
            word = self._words[found[1].casefold()]
            if word in self._explained or (word.isupper() and not found[1][:3].isupper()):
                continue
            self._explained.add(word)
            yield text[end : found.start()], "", ""
            yield found[1], word, found[2]
            end = found.end()
        yield text[end:], "", ""

    def explain(self, text: str) -> Markup:
        """A plain text with its terms explained."""
        return Markup("").join(
            term(word, one, after) if word else escape(one) for one, word, after in self.split(text)
        )


class Writer:
    """Writes the parts of one page in their order; each term is explained where it is first."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._markdown = markdown()
        self._terms = Terms()

    def write(self, text: str) -> Markup:
        """Blocks of Markdown as HTML; UserError where a value cannot be computed."""
        return self._render(text, inline=False)

    def explain(self, text: str) -> Markup:
        """A figure's caption, which is plain, with its terms explained."""
        return self._terms.explain(text)

    def line(self, text: str) -> Markup:
        """One line of Markdown as HTML, without a paragraph; terms stay as they are.

        It names what is chosen or typed, and an explanation inside would be a part of that name.
        """
        return self._render(text, inline=True)

    def _render(self, text: str, inline: bool) -> Markup:
        held: list[str] = []

        def hold(found: re.Match[str]) -> str:
            held.append(self._value(found[1]))
            return f"\ue000{len(held) - 1}\ue001"

        written = PUT_IN.sub(hold, text)
        parse = self._markdown.parseInline if inline else self._markdown.parse
        tokens = parse(written)
        in_heading = False
        for token in tokens:
            in_heading = token.type == "heading_open" or (
                in_heading and token.type != "heading_close"
            )
            if token.children and not in_heading and not inline:
                token.children = self._explain(token.children)
        html = self._markdown.renderer.render(tokens, self._markdown.options, {})
        filled = _HELD.sub(lambda found: f"<span class=value>{held[int(found[1])]}</span>", html)
        return Markup(filled)

    def _value(self, put_in: str) -> str:
        """What stands between {{ and }}, escaped."""
        name, colon, expression = put_in.partition(":")
        if not colon:
            return str(escape(self._bench.about.values[name.strip()]))
        value: Any = self._bench.run(name.strip()).value(expression)
        return str(escape(number(value) if isinstance(value, float) else value))

    def _explain(self, tokens: list[Token]) -> list[Token]:
        made: list[Token] = []
        in_link = 0
        for token in tokens:
            in_link += (token.type == "link_open") - (token.type == "link_close")
            made += [token] if token.type != "text" or in_link else self._marked(token)
        return made

    def _marked(self, token: Token) -> list[Token]:
        return [
            _html(term(word, one, after)) if word else _text(one)
            for one, word, after in self._terms.split(token.content)
        ]


def caption_of(step: Step, figure: Figure) -> Markup:
    """A figure's caption for a page that has the rest of its step already.

    What the step explains above the figure, in a text or another caption, is not explained again.
    """
    terms = Terms()
    for part in step.parts:
        if part.figure == figure:
            break
        told = part.figure.caption if part.figure is not None else PUT_IN.sub("", part.text)
        list(terms.split(told if part.kind != "notes" else ""))
    return terms.explain(figure.caption)


def term(word: str, shown: str, after: str = "") -> Markup:
    """A word that is explained on hover, on focus and on a tap.

    What follows without a space, a comma say, is inside: no line begins with it.
    """
    id = f"term-{re.sub(r'[^a-z]+', '-', word.casefold())}"
    return Markup(
        '<span class="termed"><button type="button" class="term" aria-describedby="{id}">{shown}'
        '</button><span class="gloss" role="tooltip" id="{id}">{says}</span>{after}</span>'
    ).format(id=id, shown=shown, says=glossary()[word].says, after=after)


def plain(text: str) -> Markup:
    """Markdown as HTML with nothing put in and nothing explained."""
    return Markup(markdown().render(PUT_IN.sub(lambda found: found[1].strip(), text)))


def parts(writer: Writer, found: tuple[Part, ...]) -> list[dict[str, Any]]:
    """What a template needs of a step's parts; a teacher's notes are left out."""
    made: list[dict[str, Any]] = []
    for part in found:
        if part.kind in ("notes", "question"):
            continue
        figure = part.figure
        html = writer.write(part.text) if figure is None else None
        caption = writer.explain(figure.caption) if figure is not None else None
        made.append({"kind": part.kind, "html": html, "figure": figure, "caption": caption})
    return made


def _text(content: str) -> Token:
    return Token("text", "", 0, content=content)


def _html(content: Markup) -> Token:
    return Token("html_inline", "", 0, content=str(content))
