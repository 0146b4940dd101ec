"""Words of the interface that may not stand unexplained, and the sentences of a page."""

import re
from html import unescape

UNEXPLAINED = {
    r"in the shot": "in the example before the prompt",
    r"brings back most": "say what comes back of what",
    r"(clean|corrupted) \.\d": "a number begins with its 0 and has its unit",
    r"teacher[- ]forc(ed|ing)": "of whole answers",
    r"over a chance of": "say what guessing would give",
    r"\|score\|": "the largest score, whatever its sign",
    r"How they are cut": "say what is cut",
    r"Make it anew": "say what is made",
    r"(?<![.\w])resid(_\w+)?(?![.\w])": "residual stream",
    r"\bchoice_shot\b": "the format's title",
    r"\bvm:auto\b": "say which computer",
    r"\blogprobs?\b": "log probability",
    r"\bhparams?\b": "options",
}
"""What is looked for -> what is said in its place."""
_NOT_READ = re.compile(
    r"<(script|style|code|pre|textarea|svg)\b.*?</\1>|<option\b.*?>|<!--.*?-->", re.DOTALL
)
_TAG = re.compile(r"<[^>]+>")


def sentences(html: str) -> str:
    """What a reader sees of a page: without scripts, code, and what is in tags."""
    return " ".join(unescape(_TAG.sub(" ", _NOT_READ.sub(" ", html))).split())


def unexplained(text: str) -> list[str]:
    """Each word of the list that stands in a text, with what to say in its place."""
    return [
        f"{found[0]!r} in {text[max(0, found.start() - 60) : found.end() + 30]!r}: {cure}"
        for word, cure in UNEXPLAINED.items()
        for found in [re.search(word, text)]
        if found
    ]
