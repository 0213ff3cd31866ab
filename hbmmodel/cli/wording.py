"""Messages of the library in the words of the command line.

Owns the one table from arguments of Python to options; must not know who raised a message.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["in_options"]

_OPTIONS = (
    (r"(the name does not tell the format; )pass format= ?", r"\1give --format "),
    (r"pass format= ?", "give {read_format} "),
    (r"\(with_=\.\.\., --with FILE\)", "(--with FILE)"),
    (r"wrap=True", "--wrap"),
    (r"use mode='(\w+)'", r"use --mode \1"),
    (r"raise gb_per_s", "raise --gb-per-s"),
    (r"(rfm|strict_tccdl)=(True|False)", r"--set \1=\2"),
    (r"^(stack|channel)s has ", r"--\1 has "),
    (r"^gb_per_s ", "--gb-per-s "),
    (r"^burst_bytes is ", "--burst-bytes is "),
    (r"^launch_ns is ", "--launch-ns is "),
    (r"^request_bytes is ", "--request-bytes is "),
)


def in_options(message: str, argv: Sequence[str] = ()) -> str:
    """The message with options instead of Python arguments.

    Parameters
    ----------
    message : str
        From an exception of the library.
    argv : sequence of str
        The command: ``convert`` names the format that it reads ``--from``, all others ``--format``.

    Examples
    --------
    >>> in_options("t: fits no known format; pass format= one of hbmop", ["info", "t"])
    't: fits no known format; give --format one of hbmop'
    >>> in_options("use more stacks, a larger variant, or wrap=True")
    'use more stacks, a larger variant, or --wrap'
    """
    read_format = "--from" if "convert" in argv[:1] else "--format"
    for pattern, words in _OPTIONS:
        message = re.sub(pattern, words.replace("{read_format}", read_format), message)
    return message
