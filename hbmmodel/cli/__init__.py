"""The command line: ``hbmmodel`` and ``python -m hbmmodel``.

This file owns exit codes and how errors are told; must not know any command. Exit codes: 0 ok; 1 a fault of
hbmmodel; 2 bad input or usage, told in one line on stderr; 3 protocol violations found (``check``); 130
interrupted.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from hbmmodel.terminal import printable

__all__ = ["main", "run_cli"]

EXIT_OK, EXIT_INTERNAL, EXIT_BAD_INPUT, EXIT_VIOLATIONS, EXIT_INTERRUPTED = 0, 1, 2, 3, 130


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Entry point of the console script: run a command and leave the process with its exit code."""
    import signal

    # A reader that closes the pipe early (head) ends the program as it ends any other, without a message.
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, _leave)
    sys.exit(run_cli(sys.argv[1:] if argv is None else argv))


def _leave(number: int, _: object) -> NoReturn:
    """Ends the program as the signal would, but by way of those who have temporary files to remove."""
    raise SystemExit(128 + number)


def run_cli(argv: Sequence[str]) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str
        Arguments without the program's name.

    Returns
    -------
    int
        The exit code. Nothing is raised; errors are one line on stderr. The environment variable
        ``HBMMODEL_TRACEBACK=1`` adds the traceback, for debugging.
    """
    import click

    from hbmmodel.cli.commands import cli
    from hbmmodel.cli.wording import in_options
    from hbmmodel.errors import HbmError, HbmInternalError

    try:
        with warnings.catch_warnings():
            warnings.showwarning = _tell_warning
            warnings.filterwarnings("default", category=UserWarning)
            code = cli.main(args=list(argv), prog_name="hbmmodel", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else EXIT_OK
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message())
        return EXIT_OK
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx is not None else "hbmmodel"
        return _tell(f"{error.format_message()} (see {command} --help)", EXIT_BAD_INPUT)
    except click.ClickException as error:
        return _tell(error.format_message(), EXIT_BAD_INPUT)
    except (KeyboardInterrupt, click.Abort):
        return _tell("interrupted: nothing written", EXIT_INTERRUPTED)
    except HbmInternalError as error:
        return _tell(f"internal error: {error}", EXIT_INTERNAL)
    except HbmError as error:
        return _tell(in_options(str(error) or error.summary, argv), EXIT_BAD_INPUT)
    except MemoryError:
        return _tell("memory could not be allocated; simulate a part of the trace (--phase)", EXIT_BAD_INPUT)
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        return _tell(f"{where}{error.strerror or error}", EXIT_BAD_INPUT)
    except Exception as error:
        return _tell(
            f"internal error: {type(error).__name__}: {error}; please report this with the traceback that "
            "HBMMODEL_TRACEBACK=1 prints",
            EXIT_INTERNAL,
        )


def _tell_warning(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as one line on stderr, without the place in the code."""
    print(f"hbmmodel: note: {printable(' '.join(str(message).split()))}", file=sys.stderr)


def _tell(message: str, code: int) -> int:
    if os.environ.get("HBMMODEL_TRACEBACK") == "1":
        import traceback

        traceback.print_exc()
    print(f"hbmmodel: {printable(' '.join(message.split()))}", file=sys.stderr)
    return code
