"""Files of arrivals: Azure LLM, BurstGPT, Mooncake and LLMServingSim, told apart by what is in them.

Owns their schemas, what is left out of them, and how a bad record is refused; must not know how requests are served.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np

from hbmmodel.serving.arrivals import TOKENS_MAX, Arrivals
from hbmmodel.trace.problem import trace_error
from hbmmodel.trace.source import lines

__all__ = ["MOONCAKE_BLOCK_TOKENS", "read_arrivals"]

MOONCAKE_BLOCK_TOKENS = 512
LINE_MAX = 8 << 20
TIME_MAX_S = 1e10
I63 = (1 << 63) - 1

_STAMP = re.compile(r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?")
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{0,15})?")


class _FieldError(Exception):
    """What is wrong with a field, before its place is known."""

    def __init__(self, field: str | None, what: str, got: object, remedy: str) -> None:
        super().__init__(what)
        self.field, self.what, self.got, self.remedy = field, what, got, remedy


class _Columns:
    """Requests as they are read."""

    def __init__(self) -> None:
        self.time_s, self.tokens_in, self.tokens_out = array("d"), array("q"), array("q")
        self.hashes, self.counts = array("q"), array("q")
        self.left_out: dict[str, int] = {}

    def add(self, time_s: float, tokens_in: int, tokens_out: int, hashes: list[int] | None = None) -> None:
        if not tokens_in or not tokens_out:
            why = "empty prompt" if not tokens_in else "failed: no answer"
            self.left_out[why] = self.left_out.get(why, 0) + 1
            return
        self.time_s.append(time_s)
        self.tokens_in.append(tokens_in)
        self.tokens_out.append(tokens_out)
        self.hashes.extend(hashes or ())
        self.counts.append(len(hashes or ()))


def _tokens(field: str, value: object) -> int:
    if isinstance(value, str):
        value = int(value) if value.isascii() and value.isdigit() and len(value) < 20 else value
    if type(value) is not int or not 0 <= value <= TOKENS_MAX:
        raise _FieldError(field, "not a number of tokens", value, f"write a whole number, 0..{TOKENS_MAX}")
    return value


def _seconds(field: str, value: object, unit_s: float) -> float:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= TIME_MAX_S / unit_s:
        raise _FieldError(field, "not a time from 0 on", value, "write a number that is not negative")
    return value * unit_s


def _azure(cells: list[str], columns: _Columns) -> None:
    stamp, tokens_in, tokens_out = cells
    match = _STAMP.fullmatch(stamp)
    try:
        if match is None:
            raise ValueError
        zone = (match[3] or "+00:00").replace("Z", "+00:00")
        whole = datetime.fromisoformat(match[1] + zone).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        remedy = "write it as 2024-05-10 00:00:00.009930+00:00"
        raise _FieldError("TIMESTAMP", "not a date and time", stamp, remedy) from None
    columns.add(
        whole + float(f"0.{match[2] or 0}"), _tokens("ContextTokens", tokens_in), _tokens("GeneratedTokens", tokens_out)
    )


def _burst_gpt(names: list[str]) -> Callable[[list[str], _Columns], None]:
    places = [names.index(name) for name in ("Timestamp", "Request tokens", "Response tokens")]

    def take(cells: list[str], columns: _Columns) -> None:
        stamp, tokens_in, tokens_out = (cells[i] for i in places)
        columns.add(
            _seconds("Timestamp", stamp, 1.0), _tokens("Request tokens", tokens_in),
            _tokens("Response tokens", tokens_out),
        )  # fmt: skip

    return take


def _mooncake(record: dict[str, Any], columns: _Columns) -> None:
    time_s = _seconds("timestamp", record.get("timestamp"), 1e-3)
    tokens_in = _tokens("input_length", record.get("input_length"))
    hashes = record.get("hash_ids")
    if not isinstance(hashes, list) or not all(type(h) is int and 0 <= h <= I63 for h in hashes):
        remedy = "give one number per 512 tokens of the prompt"
        raise _FieldError("hash_ids", "not a list of whole numbers", hashes, remedy)
    if len(hashes) != -(-tokens_in // MOONCAKE_BLOCK_TOKENS):
        remedy = f"give {-(-tokens_in // MOONCAKE_BLOCK_TOKENS)}, one per 512 of {tokens_in} tokens"
        raise _FieldError("hash_ids", f"{len(hashes)} hashes", None, remedy)
    columns.add(time_s, tokens_in, _tokens("output_length", record.get("output_length")), hashes)


def _serving_sim(record: dict[str, Any], columns: _Columns) -> None:
    if "sub_requests" in record:
        raise _FieldError("sub_requests", "a request of an agent", None, "agents wait for tools: give plain requests")
    columns.add(
        _seconds("arrival_time_ns", record.get("arrival_time_ns"), 1e-9),
        _tokens("input_toks", record.get("input_toks")), _tokens("output_toks", record.get("output_toks")),
    )  # fmt: skip


_FORMATS = "Azure LLM or BurstGPT (CSV with their header), Mooncake or LLMServingSim (JSON lines)"


def _csv(header: str) -> tuple[int, Callable[[list[str], _Columns], None]] | None:
    names = [name.strip() for name in header.split(",")]
    if names == ["TIMESTAMP", "ContextTokens", "GeneratedTokens"]:
        return 3, _azure
    if {"Timestamp", "Request tokens", "Response tokens"} <= set(names):
        return len(names), _burst_gpt(names)
    return None


def _records(name: str, path: str | os.PathLike[str]) -> Iterator[tuple[int, str]]:
    for number, raw in lines(path, LINE_MAX):
        try:
            text = raw.decode("utf-8").strip()
        except UnicodeDecodeError:
            raise trace_error(name, "not UTF-8 text", line=number, got=raw[:40], remedy=f"give {_FORMATS}") from None
        if number == 1:
            text = text.removeprefix("\ufeff").strip()
        if text:
            yield number, text


def read_arrivals(path: str | os.PathLike[str]) -> Arrivals:
    """Read a file of arrivals; its format is recognised by content, also compressed (gzip, xz, zstd).

    Parameters
    ----------
    path : path
        Azure LLM 2023 or 2024 (CSV), BurstGPT (CSV), Mooncake (JSON lines, one hash per 512 tokens), LLMServingSim
        (JSON lines, without agents).

    Returns
    -------
    Arrivals
        Sorted by time, the first at 0. Records without an answer (failed) or a prompt are counted in ``left_out``.

    Raises
    ------
    HbmTraceError
        The file is none of these, or a record is malformed; the message names line and field.
    OSError
        The file cannot be read.

    Source
    ------
    Azure: github.com/Azure/AzurePublicDataset; BurstGPT: arXiv 2401.17644; Mooncake: arXiv 2407.00079, FAST25 traces;
    LLMServingSim 2.0: ``dataset/*.jsonl``.

    Examples
    --------
    >>> from pathlib import Path
    >>> rows = ["TIMESTAMP,ContextTokens,GeneratedTokens", "2024-05-10 00:00:00.5+00:00,2162,5"]
    >>> rows += ["2024-05-10 00:00:01+00:00,100,7"]
    >>> _ = Path("a.csv").write_text(chr(10).join(rows))
    >>> read_arrivals("a.csv").time_s.tolist()
    [0.0, 0.5]
    """
    name = os.fspath(path)
    columns = _Columns()
    csv: tuple[int, Callable[[list[str], _Columns], None]] | None = None
    of_json: Callable[[dict[str, Any], _Columns], None] | None = None
    for number, text in _records(name, path):
        try:
            if csv is None and of_json is None and not text.startswith("{"):
                csv = _csv(text)
                if csv is None:
                    raise _FieldError(None, "no file of arrivals that is known", text, f"give {_FORMATS}")
            elif csv is not None:
                cells = [cell.strip() for cell in text.split(",")]
                if len(cells) != csv[0]:
                    raise _FieldError(None, f"{len(cells)} columns", text, f"write {csv[0]}, as the header has")
                csv[1](cells, columns)
            else:
                try:
                    record = msgspec.json.decode(text)
                except (msgspec.DecodeError, RecursionError, ValueError):
                    raise _FieldError(None, "not a JSON object", text, "write one object per line") from None
                if not isinstance(record, dict):
                    raise _FieldError(None, "not a JSON object", text, "write one object per line")
                if of_json is None:
                    mooncake, sim = "input_length" in record, "input_toks" in record or "sub_requests" in record
                    if mooncake == sim:
                        raise _FieldError(None, "no file of arrivals that is known", text, f"give {_FORMATS}")
                    of_json = _mooncake if mooncake else _serving_sim
                of_json(record, columns)
        except _FieldError as fault:
            raise trace_error(
                name, fault.what, line=number, field=fault.field, got=fault.got, remedy=fault.remedy
            ) from None
    if not columns.time_s:
        left = ", ".join(f"{n} {why}" for why, n in columns.left_out.items())
        raise trace_error(name, f"no request ({left})" if left else "no request", remedy=f"give {_FORMATS}")
    return _sorted(name, columns, MOONCAKE_BLOCK_TOKENS if of_json is _mooncake else None)


def _sorted(name: str, columns: _Columns, block_tokens: int | None) -> Arrivals:
    time_s = np.asarray(columns.time_s)
    order = np.argsort(time_s, kind="stable")
    hashes: dict[str, Any] = {}
    if block_tokens is not None:
        counts, ids = np.asarray(columns.counts), np.asarray(columns.hashes)
        starts = np.concatenate([[0], np.cumsum(counts)])
        moved = np.concatenate([[0], np.cumsum(counts[order])])
        place = np.arange(len(ids)) - np.repeat(moved[:-1] - starts[order], counts[order])
        hashes = {"hash_ids": ids[place], "hash_start": moved}
    return Arrivals(
        name, time_s[order] - time_s[order[0]], np.asarray(columns.tokens_in)[order],
        np.asarray(columns.tokens_out)[order], block_tokens, left_out=columns.left_out, **hashes,
    )  # fmt: skip
