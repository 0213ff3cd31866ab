"""Files that appear only when they are complete.

Owns the temporary file that takes the target's place, and compression by the target's name; must not know what is
written.
"""

from __future__ import annotations

import gzip
import lzma
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from hbmmodel.errors import HbmArgumentError

__all__ = ["COMPRESSED", "compressed", "replace_text", "replacing"]

COMPRESSED = (".gz", ".xz", ".zst")


@contextmanager
def replacing(target: str) -> Iterator[BinaryIO]:
    """A new file that takes the place of `target` at the end; nothing is left where something goes wrong.

    Of a symbolic link the file that it names is written.

    Raises
    ------
    HbmArgumentError
        The file cannot be written; or the target is a directory, a device, a pipe or a socket.
    """
    real = _real_target(target)
    folder, base = os.path.split(real)
    partial = os.path.join(folder, f".{base}.{secrets.token_hex(4)}.part")
    try:
        try:
            with open(partial, "xb") as raw:
                yield raw
            os.replace(partial, real)
        finally:
            if os.path.exists(partial):
                os.unlink(partial)
    except OSError as error:
        reason = error.strerror or error
        raise HbmArgumentError(f"{target} cannot be written: {reason}; check the path") from None


def replace_text(target: Path, text: str) -> Path:
    """Write a text file that takes its place when it is complete; HbmArgumentError if it cannot (see `replacing`)."""
    with replacing(os.fspath(target)) as file:
        file.write(text.encode(errors="backslashreplace"))  # names of files may be no UTF-8
    return target


def _real_target(target: str) -> str:
    """Where the file is, behind any symbolic links; refuses what a rename would replace by a file."""
    real = os.path.realpath(target)
    if os.path.isdir(real):
        raise HbmArgumentError(f"{target} is a directory; name a file")
    # the link itself is left where links go round in circles
    if (os.path.exists(target) or os.path.islink(real)) and not os.path.isfile(target):
        raise HbmArgumentError(f"{target} is not a regular file, and is left as it is; name a file")
    return real


def compressed(raw: BinaryIO, target: str, stack: ExitStack) -> Any:
    """The file itself, or the compressor that the target's name asks for."""
    suffix = os.path.splitext(target)[1].lower()
    if suffix == ".gz":
        return stack.enter_context(gzip.GzipFile("", "wb", 6, raw, mtime=0))
    if suffix == ".xz":
        return stack.enter_context(lzma.LZMAFile(raw, "wb", preset=3))
    if suffix != ".zst":
        return raw
    import zstandard

    return stack.enter_context(zstandard.ZstdCompressor(level=3).stream_writer(raw, closefd=False))
