"""What a disk answers is said in words, also where a library wrapped it in an error of its own."""

import errno

import pytest

from worker.contract.disk import PASSING, chain, disk_trouble


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (errno.ENOSPC, "The disk is full: /data/x. Free"),
        (errno.EDQUOT, "The quota of the disk is used up: /data/x. Free"),
        (errno.EROFS, "The disk can only be read: /data/x. Mount"),
        (errno.EACCES, "This user may not use the file or folder: /data/x. Give"),
        (errno.EPERM, "This user may not change the file or folder: /data/x. Give"),
        (errno.EIO, "The disk answered with an error: /data/x. Look"),
        (errno.EMFILE, "Too many files are open in this process: /data/x. Raise"),
        (errno.ENFILE, "Too many files are open on this machine: /data/x."),
    ],
)
def test_a_disks_answer_names_the_file_and_the_cure(code: int, words: str) -> None:
    assert disk_trouble(OSError(code, "as the system says it", "/data/x")).startswith(words)


def test_without_a_file_none_is_named_and_a_name_in_bytes_is_read() -> None:
    assert disk_trouble(OSError(errno.ENOSPC, "full")).startswith("The disk is full. Free")
    assert "full: /d/é." in disk_trouble(OSError(errno.ENOSPC, "full", "/d/é".encode()))


def test_what_is_no_trouble_of_a_disk_says_nothing() -> None:
    assert disk_trouble(ValueError("13")) == ""
    assert disk_trouble(OSError(errno.ECONNREFUSED, "refused")) == ""
    assert disk_trouble(ValueError("3 requested and 1 written")) == ""


def test_an_error_of_a_library_in_rust_is_read_from_its_text() -> None:
    said = "I/O error: No space left on device (os error 28)"
    assert disk_trouble(RuntimeError(said)).startswith("The disk is full. Free")


def test_a_short_write_of_an_array_is_a_full_disk() -> None:
    assert disk_trouble(OSError("3000 requested and 12 written")).startswith("The disk is full.")


def raised(
    cause: BaseException | None, *, context: bool = False, hidden: bool = False
) -> Exception:
    """An error that was raised from another one, or while one was handled."""
    try:
        try:
            raise OSError(errno.EIO, "bad")
        except OSError:
            if hidden:
                raise ValueError("wrapped") from None
            if context:
                raise ValueError("wrapped")  # noqa: B904 - the context is what is looked at
            raise ValueError("wrapped") from cause
    except ValueError as error:
        return error


def test_causes_are_looked_at_but_for_those_left_out_on_purpose() -> None:
    assert disk_trouble(raised(None, context=True)).startswith("The disk answered with an error.")
    assert disk_trouble(raised(OSError(errno.ENOSPC, "full"))).startswith("The disk is full.")
    assert disk_trouble(raised(None, hidden=True)) == ""


def test_a_chain_of_causes_that_bites_its_tail_ends() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert list(chain(one)) == [one, other]


def test_what_may_pass_by_itself_needs_no_change_of_settings() -> None:
    assert {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE} == PASSING
