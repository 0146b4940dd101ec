"""What a disk may answer instead of writing or reading, in words with the cure.

Libraries wrap such an error in their own (safetensors, zipfile), so causes and texts are looked at.
"""

import errno
import os
import re
from collections.abc import Iterator

_FULL = "The disk is full{at}. Free some space and try again."
_WORDS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: "The quota of the disk is used up{at}. Free some space and try again.",
    errno.EROFS: "The disk can only be read{at}. Mount it for writing, or name another folder "
    "with LETHE_DATA.",
    errno.EACCES: "This user may not use the file or folder{at}. Give the user that runs Lethe "
    "the right to read and write it, or name another folder with LETHE_DATA.",
    errno.EPERM: "This user may not change the file or folder{at}. Give the user that runs Lethe "
    "the right to, or name another folder with LETHE_DATA.",
    errno.EIO: "The disk answered with an error{at}. Look at the machine's log: it may be failing.",
    errno.EMFILE: "Too many files are open in this process{at}. Raise its limit (ulimit -n).",
    errno.ENFILE: "Too many files are open on this machine{at}.",
}
PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE})
"""What may pass without a change of settings."""
_RUST = re.compile(r"\(os error (\d+)\)")
_SHORT = re.compile(r"\d+ requested and \d+ written")
"""NumPy's words for a write that came to an early end."""


def disk_trouble(error: BaseException) -> str:
    """Say what is wrong with a disk or folder, from an error or its causes; "" for anything else.

    The sentence ends with the cure; it names the file where the error does.
    """
    for one in chain(error):
        code = one.errno if isinstance(one, OSError) else None
        if code is None and (found := _RUST.search(str(one))):
            code = int(found[1])
        if code is None and isinstance(one, OSError) and _SHORT.search(str(one)):
            code = errno.ENOSPC
        if code in _WORDS:
            name = one.filename if isinstance(one, OSError) else None
            return _WORDS[code].format(at=f": {os.fsdecode(name)}" if name else "")
    return ""


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, then what caused it, and so on; not past a cause left out on purpose."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        context = None if following.__suppress_context__ else following.__context__
        following = following.__cause__ or context
