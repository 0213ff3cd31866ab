"""A result on disk: one Parquet file per table and ``result.json``.

Owns the directory's layout, its versions and its safety (written beside the target and renamed, every file
checked by size and SHA-256 on loading); must not know what the numbers mean.

Layout, version 1: ``result.json`` (identity, system, trace, provenance, and name, bytes and sha256 of each
file), ``summary.parquet`` (one row; empty cell = None), ``channels.parquet``, ``operations.parquet``,
``timeline.parquet``, ``power_states.parquet``, ``energy.parquet`` and the object ``energy_model`` in ``result.json``
(these three are missing in older results), ``banks.parquet`` (of results that hold counts of banks),
``histogram.parquet``, ``commands.parquet`` if a command log was recorded, and ``temperature.parquet``,
``temperature_cells.parquet`` and the object ``thermal_model`` if temperatures were computed,
and ``traffic_classes.parquet`` of programs side by side.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hbmmodel.commands import COMMAND_DTYPE
from hbmmodel.errors import HbmArgumentError, HbmError
from hbmmodel.result.banks import bank_table
from hbmmodel.result.energy import no_energy
from hbmmodel.result.histogram import Histogram
from hbmmodel.result.power_states import power_states
from hbmmodel.result.result import Result
from hbmmodel.result.summary import Number
from hbmmodel.result.table import Table
from hbmmodel.result.temperature import cells_table, temperature_table
from hbmmodel.result.traffic import no_traffic, with_percentiles
from hbmmodel.result.whole import check_interrupted, check_summary, check_tables
from hbmmodel.system import System

__all__ = ["FORMAT", "FORMAT_VERSION", "check_target", "is_result", "load", "log_pieces", "read_manifest", "save"]

FORMAT = "hbmmodel-result"
FORMAT_VERSION = 1
MANIFEST = "result.json"
COMMANDS = "commands.parquet"
OPTIONAL = ("banks.parquet", COMMANDS, "temperature.parquet", "temperature_cells.parquet", "traffic_classes.parquet")
"""Files of some results; an older one's are not kept where the new one has none."""


def is_result(directory: Path) -> bool:
    """Whether a directory holds a saved result (of any version)."""
    try:
        manifest = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(manifest, dict) and manifest.get("format") == FORMAT


def check_target(directory: Path) -> None:
    """Refuse a place that a result must not be written to, before anything is computed.

    Raises
    ------
    HbmArgumentError
        `directory` exists and is neither empty nor a result.
    OSError
        Its parent is missing or cannot be written.
    """
    directory = Path(os.path.normpath(directory.absolute()))
    parent = directory.parent
    if not parent.is_dir():
        raise FileNotFoundError(f"{parent} does not exist; make it before saving a result in it")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{parent} cannot be written; name another place for the result")
    if directory.is_symlink() or directory.exists():
        with _alone(directory):
            _check_content(directory)


def _check_content(directory: Path) -> None:
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        raise HbmArgumentError(
            f"{directory} exists and is not a directory; name another place for the result"
        )
    if directory.exists() and any(directory.iterdir()) and not is_result(directory):
        raise HbmArgumentError(
            f"{directory} exists and is not a saved result; it is left as it is: name another directory"
        )


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep other savers away from `directory`, by a lock file beside it that goes when the lock does.

    A lock file left by a process that was killed is not locked: the next saver takes and removes it.
    """
    import fcntl

    path = directory.with_name(f".{directory.name}.lock")
    try:
        while True:
            lock = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                # the saver that we waited for has removed this file, and the next one has made its own
                mine = os.path.exists(path) and os.path.samestat(os.fstat(lock), os.lstat(path))
            except FileNotFoundError:
                mine = False
            except BaseException:
                os.close(lock)
                raise
            if mine:
                break
            os.close(lock)
    except OSError as error:
        raise HbmArgumentError(
            f"{directory} cannot be locked for saving: {error.strerror or error}; name another place"
        ) from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(lock)


def save(result: Result, directory: Path) -> Path:
    """Write `result` to `directory`: complete, or not at all.

    An older result there is replaced; files in it that are not part of a result are kept. Of several results
    saved to one place at once, each is complete in its turn, and the last one stays.

    Raises
    ------
    HbmArgumentError
        As `check_target`, or the result cannot take its place.
    OSError
        As `check_target`, or a file cannot be written.
    """
    directory = Path(os.path.normpath(directory.absolute()))
    check_target(directory)
    work = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", suffix=".part", dir=directory.parent))
    try:
        try:
            _write(result, work)
        except OSError as error:  # pyarrow's names no file
            raise OSError(
                f"{directory} cannot be written: {error.strerror or error}; make room, or name another directory"
            ) from None
        work.chmod(0o777 & ~_umask())
        with _alone(directory):
            _check_content(directory)
            try:
                _replace(work, directory)
            except OSError as error:
                raise HbmArgumentError(
                    f"{directory} cannot be replaced by the new result: {error.strerror or error}; "
                    "name another directory"
                ) from None
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return directory


def load(directory: Path, *, command_log: bool = True) -> Result:
    """Read what `save` wrote.

    Parameters
    ----------
    directory : Path
    command_log : bool
        False: without the command log, which may be large; see `log_pieces`.

    Raises
    ------
    HbmArgumentError
        `directory` is not a result, a file is missing, damaged or malformed, or the result was written by a
        newer version.
    """
    manifest = read_manifest(directory)
    for name, entry in manifest["files"].items():
        _verify(directory / name, entry)
    names = manifest["files"]

    def optional(name: str, missing: Callable[[], Table]) -> Table:
        return Table.read_parquet(directory / f"{name}.parquet") if f"{name}.parquet" in names else missing()

    try:
        system = System.from_dict(manifest["system"])
        tables = {
            name: Table.read_parquet(directory / f"{name}.parquet") for name in ("channels", "operations", "timeline")
        }
        tables |= {
            "power_states": optional("power_states", lambda: power_states(system, tables["channels"])),
            "energy": optional("energy", no_energy),
            "temperature": optional("temperature", temperature_table),
            "temperature_cells": optional("temperature_cells", cells_table),
            "banks": optional("banks", bank_table),
            "traffic_classes": with_percentiles(optional("traffic_classes", no_traffic)),
        }
        check_tables(tables, system)
        histogram = Histogram.from_table(Table.read_parquet(directory / "histogram.parquet"))
        summary = _read_summary(directory / "summary.parquet")
        check_summary(summary, histogram)
        check_interrupted(manifest["provenance"].get("interrupted"))
        return Result(
            system=system,
            summary=summary,
            histogram=histogram,
            command_log=_read_log(directory / COMMANDS) if command_log and COMMANDS in names else None,
            trace=manifest["trace"],
            provenance=manifest["provenance"],
            energy_model=dict(manifest.get("energy_model", {})),
            thermal_model=dict(manifest.get("thermal_model", {})),
            **tables,
        )
    except HbmError as error:
        raise HbmArgumentError(f"{directory}: {error}") from error
    except (KeyError, TypeError, ValueError, IndexError, OSError) as error:
        raise HbmArgumentError(f"{directory}: the saved result is malformed ({error})") from error


def log_pieces(directory: Path) -> Iterator[NDArray[Any]]:
    """The command log of a saved result in pieces of up to 2^18 commands, in order.

    Raises
    ------
    HbmArgumentError
        There is none, or it is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if COMMANDS not in read_manifest(directory)["files"]:
        raise HbmArgumentError(f"{directory} holds no command log; record one with hbmmodel run --command-log-window")
    path = directory / COMMANDS
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1 << 18):
                piece = np.empty(batch.num_rows, dtype=COMMAND_DTYPE)
                for name in COMMAND_DTYPE.names or ():
                    piece[name] = batch.column(name).to_numpy()
                yield piece
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise HbmArgumentError(f"{path} is damaged: {str(error).splitlines()[0]}") from None


def read_manifest(directory: Path) -> dict[str, Any]:
    """``result.json``, checked for identity and version.

    Raises
    ------
    HbmArgumentError
        Missing, malformed, or of a newer version.
    """
    path = directory / MANIFEST
    if not directory.is_dir():
        raise HbmArgumentError(
            f"{directory}: no such directory; a saved result is a directory with {MANIFEST}"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"), parse_float=_finite, parse_constant=_finite)
    except FileNotFoundError:
        raise HbmArgumentError(f"{directory} has no {MANIFEST}; it is not a saved result") from None
    except RecursionError:
        raise HbmArgumentError(f"{path} is damaged: it is nested too deeply") from None
    except ValueError as error:
        raise HbmArgumentError(f"{path} is damaged: {error}") from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise HbmArgumentError(f"{path}: field 'format' is not {FORMAT!r}; it is not a saved result")
    version = manifest.get("format_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise HbmArgumentError(f"{path}: field 'format_version' is {version!r}; expected a whole number")
    if version > FORMAT_VERSION:
        provenance = manifest.get("provenance")
        writer = provenance.get("version", "?") if isinstance(provenance, dict) else "?"
        raise HbmArgumentError(
            f"{path} has format version {version}, written by hbmmodel {writer}; this program reads up to "
            f"version {FORMAT_VERSION}: upgrade hbmmodel"
        )
    for name, kind in (("files", dict), ("system", dict), ("trace", dict), ("provenance", dict)):
        if not isinstance(manifest.get(name), kind):
            raise HbmArgumentError(f"{path}: field {name!r} is missing or not an object")
    for name in ("summary", "channels", "operations", "timeline", "histogram"):
        if f"{name}.parquet" not in manifest["files"]:
            raise HbmArgumentError(f"{path}: field 'files' does not list {name}.parquet")
    for name, entry in manifest["files"].items():
        if not isinstance(entry, dict) or Path(name).name != name:
            raise HbmArgumentError(f"{path}: field 'files' has a malformed entry {name!r}")
    return manifest


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is not a finite number")
    return number


def _write(result: Result, work: Path) -> None:
    _write_summary(result.summary, work / "summary.parquet")
    result.channels.write_parquet(work / "channels.parquet")
    result.operations.write_parquet(work / "operations.parquet")
    result.timeline.write_parquet(work / "timeline.parquet")
    result.power_states.write_parquet(work / "power_states.parquet")
    result.histogram.to_table().write_parquet(work / "histogram.parquet")
    result.energy.write_parquet(work / "energy.parquet")
    if result.banks.n_rows:
        result.banks.write_parquet(work / "banks.parquet")
    if result.temperature.n_rows:
        result.temperature.write_parquet(work / "temperature.parquet")
        result.temperature_cells.write_parquet(work / "temperature_cells.parquet")
    if result.traffic_classes.n_rows:
        result.traffic_classes.write_parquet(work / "traffic_classes.parquet")
    if result.command_log is not None:
        log = result.command_log
        Table({name: log[name] for name in log.dtype.names or ()}).write_parquet(work / COMMANDS)
    manifest = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "device_hash": result.system.device.content_hash(),
        "system_hash": result.system.content_hash(),
        "system": result.system.to_dict(),
        "trace": result.trace,
        "provenance": result.provenance,
        "energy_model": result.energy_model,
        "thermal_model": result.thermal_model,
        "files": {
            path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)}
            for path in sorted(work.iterdir())
        },
    }
    # a file's name may hold bytes that are no UTF-8: they are written as JSON's own escapes
    with open(work / MANIFEST, "w", encoding="utf-8", errors="backslashreplace") as file:
        json.dump(manifest, file, indent=1, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())


def _replace(work: Path, directory: Path) -> None:
    if not directory.exists():
        os.rename(work, directory)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", suffix=".old", dir=directory.parent))
    os.rename(directory, old)
    try:
        os.rename(work, directory)
    except BaseException:
        os.rename(old, directory)
        raise
    ours = {path.name for path in directory.iterdir()} | {MANIFEST, *OPTIONAL}
    for path in old.iterdir():
        if path.name not in ours:
            os.rename(path, directory / path.name)
    shutil.rmtree(old)


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _verify(path: Path, entry: dict[str, Any]) -> None:
    try:
        size = path.stat().st_size
        digest = _sha256(path) if size == entry.get("bytes") else None
    except FileNotFoundError:
        raise HbmArgumentError(f"{path} is missing; the saved result is incomplete") from None
    except OSError as error:
        raise HbmArgumentError(f"{path} cannot be read: {error.strerror}") from None
    if digest is None:
        raise HbmArgumentError(f"{path} is damaged: it has {size} bytes, {entry.get('bytes')} were written")
    if digest != entry.get("sha256"):
        raise HbmArgumentError(f"{path} is damaged: its content is not what was written (SHA-256 differs)")


def _write_summary(summary: dict[str, Number], path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {int: pa.int64(), float: pa.float64(), type(None): pa.null()}
    row = {name: pa.array([value], type=kinds[type(value)]) for name, value in summary.items()}
    pq.write_table(pa.table(row), path)


def _read_summary(path: Path) -> dict[str, Number]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    if table.num_rows != 1:
        raise HbmArgumentError(f"{path.name} has {table.num_rows} rows; a summary has one")
    return {name: table.column(name)[0].as_py() for name in table.column_names}


def _read_log(path: Path) -> NDArray[Any]:
    table = Table.read_parquet(path)
    log = np.empty(len(table), dtype=[(name, table[name].dtype) for name in table.names])
    for name in table.names:
        log[name] = table[name]
    return log
