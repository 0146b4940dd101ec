"""A blank in a prompt: a model that reads from left to right is asked where the blank stands.

Dots at the prompt's end that stand by themselves ("lives in …") are a blank too.
What follows the blank it cannot see, and a reader is told so. Where the prompt goes on to ask for
the missing word by itself ("…\\nAnswer:", "The missing word is", a chat's next turn), it is asked
at its end, as written.
"""

import re

BLANK = re.compile(
    r"_{3,}|(?<!\w)__(?!\w)|＿{2,}|[\[<(](?:BLANK|blank|MASK|mask)[\])>]|\{blank\}"
    r"|(?<=\s)(?:\.{3,}|…)\s*\Z"
)
_MARKS = re.compile(r"[_＿\[<(…]|\{blank\}|\.\.\.")
"""Every blank holds one of these."""
_CUE = re.compile(
    r"(?::|[>\]]|\n|\b(?:word|words|blank|gap|answer|name|part) (?:is|are))\s*\Z", re.IGNORECASE
)
_GOES_ON = re.compile(r"[.!?]\s+\S(?:.*[^\s.!?)\"”])?\s*\Z", re.DOTALL)


def ask_at_blank(prompt: str) -> tuple[str, str]:
    """Return the prompt up to its blank, and what to tell; as it is, and "", where it has none.

    ValueError where it has several, where nothing stands before it, and where another sentence
    that is not finished follows, so that nobody can say which place is asked.
    """
    if not _MARKS.search(prompt):  # as of nearly all: fifty times faster
        return prompt, ""
    found = list(BLANK.finditer(prompt))
    if not found:
        return prompt, ""
    rest = prompt[found[-1].end() :]
    if rest.strip() and _CUE.search(rest):
        return prompt, "the prompt asks for its blank at its end"
    if len(found) > 1:
        raise ValueError(f"the prompt has {len(found)} blanks; expected one, at the answer's place")
    before, blank = prompt[: found[0].start()], found[0][0]
    if not before.strip():
        raise ValueError(
            f"nothing stands before the blank {blank!r}, and a model reads from left to right; "
            f"expected a prompt that ends before the answer"
        )
    if _GOES_ON.search(rest):
        raise ValueError(
            f"after the blank {blank!r} another sentence begins that has no end ({rest[-60:]!r}), "
            f"so which place is asked is not said; end the prompt at the blank"
        )
    if re.search(r"\w", rest):
        return before, f"it is asked at its blank; what follows, {rest[:60]!r}, no model sees"
    return before, "it is asked at its blank"
