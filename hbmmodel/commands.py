"""The vocabulary of DRAM commands, and command logs: one row per command that went over a channel's buses.

Owns the command codes, the layout of a log, its text form and its files (CSV, plain or compressed with gzip
or xz, and Parquet). Must not know which sequences of commands are legal, nor who wrote a log.

Examples
--------
>>> log = command_log([(0, 0, 0, 0, Command.ACT, 0, 1, 2, 77, 0), (66, 0, 0, 0, Command.RD, 0, 1, 2, 77, 5)])
>>> Command(log["command"][1]).name
'RD'
"""

from __future__ import annotations

import csv
import gzip
import io
import lzma
import zlib
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hbmmodel.errors import HbmArgumentError, HbmTraceError

if TYPE_CHECKING:
    from hbmmodel.device import Device

__all__ = [
    "COLUMN_COMMANDS",
    "COMMAND_DTYPE",
    "Command",
    "as_command_log",
    "command_log",
    "command_name",
    "format_log",
    "read_log",
    "to_csv",
    "to_parquet",
]


class Command(IntEnum):
    """Codes of the commands, as in the log.

    Source
    ------
    JESD238B.01 and JESD270-4, command truth tables (second-hand quotes).
    """

    ACT = 0
    PREpb = 1
    PREab = 2
    RD = 3
    WR = 4
    RDA = 5
    WRA = 6
    REFab = 7
    REFpb = 8
    RFMab = 9
    RFMpb = 10
    PDE = 11
    PDX = 12
    SRE = 13
    SRX = 14


COLUMN_COMMANDS = frozenset({Command.RD, Command.WR, Command.RDA, Command.WRA})
"""Commands of the column bus; all others use the row bus."""

COMMAND_DTYPE = np.dtype(
    [
        ("tick", "<i8"),
        ("stack", "<u2"),
        ("channel", "<u2"),
        ("pseudo_channel", "u1"),
        ("command", "u1"),
        ("sid", "u1"),
        ("bank_group", "u1"),
        ("bank", "u1"),
        ("row", "<u4"),
        ("column", "<u2"),
    ]
)
"""One command: half-CK tick of its first edge, where it went, which it was. `bank` counts inside its group;
fields that a command does not have are 0. Logs are sorted by (stack, channel, tick)."""

_FIELDS: tuple[str, ...] = COMMAND_DTYPE.names or ()
_CODES = {name: code.value for name, code in Command.__members__.items()}
_HIGHEST = {name: int(np.iinfo(COMMAND_DTYPE[name]).max) for name in _FIELDS}

Log = npt.NDArray[np.void]


def command_name(code: int) -> str:
    """JEDEC name of a command code.

    Parameters
    ----------
    code : int
        Code as in the log; any number is accepted.

    Returns
    -------
    str
        The name, or ``"command 99"`` for a code that does not exist.

    Examples
    --------
    >>> command_name(8), command_name(99)
    ('REFpb', 'command 99')
    """
    try:
        return Command(code).name
    except ValueError:
        return f"command {code}"


def command_log(rows: Iterable[tuple[int, ...]]) -> Log:
    """Make a log of tuples in the order of `COMMAND_DTYPE`, sorted as logs are.

    Parameters
    ----------
    rows : iterable of tuple of int
        (tick, stack, channel, pseudo_channel, command, sid, bank_group, bank, row, column) of every command.

    Returns
    -------
    ndarray of COMMAND_DTYPE, shape (n,)
        Sorted by (stack, channel, tick); commands of the same tick keep their order.

    Raises
    ------
    HbmArgumentError
        A tuple has the wrong length or a number that its field cannot hold.

    Examples
    --------
    >>> command_log([(8, 0, 0, 0, 1, 0, 0, 0, 0, 0), (0, 0, 0, 0, 0, 0, 0, 0, 9, 0)])["tick"].tolist()
    [0, 8]
    """
    table = list(rows)
    for number, row in enumerate(table):
        if len(row) != len(_FIELDS):
            raise HbmArgumentError(
                f"command {number} has {len(row)} numbers; give {len(_FIELDS)}: {', '.join(_FIELDS)}"
            )
        for name, value in zip(_FIELDS, row, strict=True):
            if not 0 <= value <= _HIGHEST[name]:
                raise HbmArgumentError(
                    f"command {number}: {name} is {value}; it must be in 0..{_HIGHEST[name]}"
                )
    log = np.array([tuple(int(value) for value in row) for row in table], dtype=COMMAND_DTYPE)
    order = np.lexsort((log["tick"], log["channel"], log["stack"]))
    return log[order]


def as_command_log(log: object) -> Log:
    """Check that something is a command log, and bring it to `COMMAND_DTYPE` without changing a number.

    Parameters
    ----------
    log : ndarray
        Structured, one-dimensional, with the fields of `COMMAND_DTYPE` in any order and of any integer width.

    Returns
    -------
    ndarray of COMMAND_DTYPE, shape (n,)
        The log itself where it already has that type.

    Raises
    ------
    HbmArgumentError
        It is no log: None (nothing was recorded), wrong shape, a field is missing or holds a number out of
        range.

    Examples
    --------
    >>> as_command_log(np.zeros(2, COMMAND_DTYPE)).shape
    (2,)
    """
    if log is None:
        raise HbmArgumentError("there is no command log: record one with simulate(..., command_log=True)")
    if not isinstance(log, np.ndarray) or log.dtype.names is None or log.ndim != 1:
        raise HbmArgumentError(
            f"a command log is a one-dimensional structured array with the fields {', '.join(_FIELDS)}; "
            f"got {type(log).__name__}"
            + (f" of {log.dtype}, {log.ndim}-d" if isinstance(log, np.ndarray) else "")
        )
    if log.dtype == COMMAND_DTYPE:
        return log
    missing = [name for name in _FIELDS if name not in log.dtype.names]
    if missing:
        raise HbmArgumentError(
            f"the command log has no field {', '.join(missing)}; it needs {', '.join(_FIELDS)}"
        )
    result = np.empty(len(log), COMMAND_DTYPE)
    for name in _FIELDS:
        if log[name].dtype.kind not in "iu":
            raise HbmArgumentError(
                f"field {name} of the command log is {log[name].dtype}; it must hold integers"
            )
        result[name] = log[name]
        wrong = np.flatnonzero(result[name] != log[name])
        if wrong.size:
            raise HbmArgumentError(
                f"row {wrong[0]} of the command log: {name} is {log[name][wrong[0]]}; "
                f"it must be in 0..{_HIGHEST[name]}"
            )
    return result


def format_log(log: Log, device: Device, *, limit: int | None = None) -> str:
    """Write a log as a table for people, with times in ns.

    Parameters
    ----------
    log : ndarray of COMMAND_DTYPE
        The commands.
    device : Device
        Gives the length of a tick.
    limit : int, optional
        Show at most this many commands, and say how many there are.

    Returns
    -------
    str
        A heading and one line per command; fields that a command does not have are left blank.

    Raises
    ------
    HbmArgumentError
        `log` is not a command log.

    Examples
    --------
    >>> from hbmmodel.device import device
    >>> print(format_log(command_log([(4, 0, 3, 1, Command.ACT, 0, 1, 2, 77, 0)]), device("HBM4_8000")))
        tick      time_ns  stack  channel  pc  command  sid  bg  bank      row  column
           4        1.000      0        3   1      ACT    0   1     2       77
    """
    log = as_command_log(log)
    shown = log if limit is None else log[: max(0, limit)]
    tick_ns = device.tick_ps / 1000
    lines = ["    tick      time_ns  stack  channel  pc  command  sid  bg  bank      row  column"]
    for tick, stack, channel, pc, code, sid, group, bank, row, column in shown.tolist():
        has_bank = code in _WITH_BANK
        has_row = code == Command.ACT or code in COLUMN_COMMANDS
        place = (f"{sid:>3}  {group:>2}  {bank:>4}") if has_bank else " " * 13
        lines.append(
            f"{tick:>8} {float(tick * tick_ns):>12.3f}"
            f"  {stack:>5}  {channel:>7}  {pc:>2}  {command_name(code):>7}  {place}"
            f"  {row if has_row else '':>7}  {column if code in COLUMN_COMMANDS else '':>6}".rstrip()
        )
    if len(shown) < len(log):
        lines.append(f"... {len(log) - len(shown)} more of {len(log)} commands")
    return "\n".join(lines)


_WITH_BANK = frozenset({Command.ACT, Command.PREpb, Command.REFpb, Command.RFMpb}) | COLUMN_COMMANDS


# ---- files ----


def to_csv(log: Log, path: str | Path) -> None:
    """Write a log as CSV; a name that ends in ``.gz`` or ``.xz`` is compressed.

    Parameters
    ----------
    log : ndarray of COMMAND_DTYPE
        The commands.
    path : str or Path
        The file; it is replaced if it exists. Its first line names the fields; commands are written by name.

    Raises
    ------
    HbmArgumentError
        `log` is not a command log.

    Examples
    --------
    >>> import tempfile
    >>> log = command_log([(0, 0, 0, 0, Command.REFab, 0, 0, 0, 0, 0)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     to_csv(log, Path(folder) / "log.csv.gz")
    ...     bool((read_log(Path(folder) / "log.csv.gz") == log).all())
    True
    """
    log = as_command_log(log)
    at = _FIELDS.index("command")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_FIELDS)
    names = {code: command_name(code) if code < len(Command) else code for code in range(256)}
    writer.writerows((*row[:at], names[row[at]], *row[at + 1 :]) for row in log.tolist())
    data = text.getvalue().encode()
    name = str(path)
    if name.endswith(".gz"):
        data = gzip.compress(data, mtime=0)
    elif name.endswith(".xz"):
        data = lzma.compress(data, preset=1)
    Path(path).write_bytes(data)


def to_parquet(log: Log, path: str | Path) -> None:
    """Write a log as a Parquet file with the columns of `COMMAND_DTYPE`, commands as their codes.

    Parameters
    ----------
    log : ndarray of COMMAND_DTYPE
        The commands.
    path : str or Path
        The file; it is replaced if it exists.

    Raises
    ------
    HbmArgumentError
        `log` is not a command log.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    log = as_command_log(log)
    table = pa.table({name: pa.array(np.ascontiguousarray(log[name])) for name in _FIELDS})
    pq.write_table(table, str(path), compression="zstd")


def read_log(path: str | Path) -> Log:
    """Read a command log; the kind of file is recognised by its content.

    Parameters
    ----------
    path : str or Path
        CSV (plain, gzip or xz) with a heading that names the fields of `COMMAND_DTYPE`, in any order,
        commands by name or code; or Parquet with these columns.

    Returns
    -------
    ndarray of COMMAND_DTYPE, shape (n,)
        The rows in the order of the file: the checker judges the order, so it is not mended here.

    Raises
    ------
    HbmTraceError
        The file cannot be read or is malformed; the message names file, line and field.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise HbmTraceError(f"{path}: cannot be read: {error.strerror or error}") from None
    if data[:4] == b"PAR1":
        return _read_parquet(path, data)
    try:
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        elif data[:6] == b"\xfd7zXZ\x00":
            data = lzma.decompress(data)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise HbmTraceError(
            f"{path}: the compressed data are damaged or cut short ({error}); write the file anew"
        ) from None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HbmTraceError(
            f"{path}: byte {error.start} is not text; a command log is CSV (plain, .gz or .xz) or Parquet"
        ) from None
    return _parse_csv(path, text)


def _parse_csv(path: str | Path, text: str) -> Log:
    reader = csv.reader(io.StringIO(text))
    try:
        table = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise HbmTraceError(f"{path}: line {reader.line_num}: not CSV ({error})") from None
    if not table:
        raise HbmTraceError(
            f"{path}: the file is empty; its first line must name the fields {','.join(_FIELDS)}"
        )
    line, heading = table[0]
    names = [name.strip() for name in heading]
    for name in _FIELDS:
        if names.count(name) != 1:
            fault = "is missing" if name not in names else "stands there twice"
            raise HbmTraceError(
                f"{path}: line {line}: the heading's field {name} {fault}; it must name {','.join(_FIELDS)}"
            )
    for line, row in table[1:]:
        if len(row) != len(names):
            raise HbmTraceError(f"{path}: line {line}: {len(row)} fields, but the heading names {len(names)}")
    log = np.zeros(len(table) - 1, COMMAND_DTYPE)
    columns = list(zip(*(row for _, row in table[1:]), strict=True))
    for name in _FIELDS if columns else ():
        column = columns[names.index(name)]
        try:
            values = [_number(name, text) for text in column] if name == "command" else list(map(int, column))
            if not (0 <= min(values) and max(values) <= _HIGHEST[name]):
                raise ValueError
        except ValueError:
            raise _bad_field(path, name, [line for line, _ in table[1:]], column) from None
        log[name] = values
    return log


def _number(name: str, text: str) -> int:
    """A field of a CSV as a number in range; anything else is a ValueError."""
    text = text.strip()
    value = _CODES[text] if name == "command" and text in _CODES else int(text)
    if not 0 <= value <= _HIGHEST[name]:
        raise ValueError
    return value


def _bad_field(path: str | Path, name: str, lines: list[int], column: tuple[str, ...]) -> HbmTraceError:
    """Find the first bad entry of a column, once it is known that there is one."""
    allowed = f"a whole number in 0..{_HIGHEST[name]}"
    if name == "command":
        allowed = f"a code in 0..{_HIGHEST[name]} or one of {', '.join(_CODES)}"
    for line, text in zip(lines, column, strict=True):
        try:
            _number(name, text)
        except ValueError:
            return HbmTraceError(f"{path}: line {line}: field {name}: {text[:40]!r} is not {allowed}")
    return HbmTraceError(f"{path}: field {name} is not {allowed}")


def _read_parquet(path: str | Path, data: bytes) -> Log:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise HbmTraceError(
            f"{path}: the Parquet file is damaged or cut short ({reason}); write the file anew"
        ) from None
    log = np.zeros(table.num_rows, COMMAND_DTYPE)
    for name in _FIELDS:
        if table.column_names.count(name) != 1:
            raise HbmTraceError(f"{path}: column {name} is missing; a command log has {', '.join(_FIELDS)}")
        stored: list[Any] = table.column(name).to_pylist()
        values = []
        for number, value in enumerate(stored):
            code = _CODES.get(value, value) if name == "command" and isinstance(value, str) else value
            if isinstance(code, bool) or not isinstance(code, int) or not 0 <= code <= _HIGHEST[name]:
                raise HbmTraceError(
                    f"{path}: row {number}: column {name}: {value!r} is not a whole number "
                    f"in 0..{_HIGHEST[name]}"
                )
            values.append(code)
        log[name] = values
    return log
