"""Where words begin and end, in every script: combining marks, emoji and scripts without spaces."""

import re
import unicodedata

from worker.contract.joining import UNSPACED

_IS_UNSPACED = re.compile(f"[{UNSPACED}]")
_IS_KATAKANA = re.compile("[\u30a1-\u30ff\uff66-\uff9f]")
_JOINERS = "\u200d\ufe0e\ufe0f"
"""Zero-width joiner and variation selectors, which make one sign of several characters."""


def is_boundary(text: str, at: int) -> bool:
    """Say whether a word ends, or begins, at this place of a text.

    Between two signs of a script without spaces it may, and that counts as yes, but for katakana,
    whose runs are words. A combining mark belongs to the letter before it.
    """
    if not 0 < at < len(text):
        return True
    before, after = text[at - 1], text[at]
    if before == "\u200d" or after in _JOINERS or "\U0001f3fb" <= after <= "\U0001f3ff":
        return False
    if unicodedata.category(after)[0] == "M":
        return False
    if not (_is_of_word(before) and _is_of_word(after)):
        return True
    if _IS_KATAKANA.match(before) and _IS_KATAKANA.match(after):
        return False
    return bool(_IS_UNSPACED.match(before) or _IS_UNSPACED.match(after))


def _is_of_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_" or unicodedata.category(letter)[0] == "M"
