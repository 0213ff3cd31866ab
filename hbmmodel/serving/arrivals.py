"""When requests arrive and how long they are: columns, whatever they were read or drawn from.

Owns `Arrivals` and synthetic ones; must not know files (`readers`) or how requests are served.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hbmmodel.checks import check_real, check_whole
from hbmmodel.errors import HbmArgumentError

__all__ = ["TOKENS_MAX", "Arrivals", "poisson"]

TOKENS_MAX = 1 << 24
"""Of one request."""


@dataclass(frozen=True)
class Arrivals:
    """Requests in the order of their arrival.

    Parameters
    ----------
    name : str
        File or label.
    time_s : ndarray of float64
        Time of arrival [s], not falling; 0 is the first arrival.
    input_tokens, output_tokens : ndarray of int64
        Lengths of prompt and answer [tokens], from 1 on.
    block_tokens : int, optional
        Tokens of a block that has a hash; None: there are none.
    hash_ids, hash_start : ndarray of int64
        Hashes of the prompts' blocks one behind the other, and where each request's begin (one entry more). Equal
        hashes mean equal tokens from the prompt's beginning to the block's end.
    left_out : mapping of str to int
        Records of the file that are not requests, by reason.

    Examples
    --------
    >>> arrivals = Arrivals("two", np.array([0.0, 0.5]), np.array([100, 200]), np.array([10, 1]))
    >>> len(arrivals), arrivals.hashes(0)
    (2, [])
    """

    name: str
    time_s: NDArray[np.float64]
    input_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]
    block_tokens: int | None = None
    hash_ids: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    hash_start: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kind in (
            ("time_s", np.float64), ("input_tokens", np.int64), ("output_tokens", np.int64),
            ("hash_ids", np.int64), ("hash_start", np.int64),
        ):  # fmt: skip
            try:
                column = np.array(getattr(self, name), dtype=kind)
            except (TypeError, ValueError, OverflowError):
                raise HbmArgumentError(f"{self.name}: {name} is no array of numbers; give {kind.__name__}") from None
            if column.ndim != 1:
                raise HbmArgumentError(f"{self.name}: {name} has {column.ndim} dimensions; give one")
            column.flags.writeable = False
            object.__setattr__(self, name, column)
        n = len(self.time_s)
        if not n:
            raise HbmArgumentError(f"{self.name}: no request arrives; give at least one")
        if len(self.input_tokens) != n or len(self.output_tokens) != n:
            raise HbmArgumentError(f"{self.name}: times and tokens differ in number; give one of each per request")
        if not np.isfinite(self.time_s).all() or self.time_s[0] < 0 or (np.diff(self.time_s) < 0).any():
            raise HbmArgumentError(f"{self.name}: times of arrival must be finite, from 0 on, and not fall; sort them")
        for name in ("input_tokens", "output_tokens"):
            column = getattr(self, name)
            if column.min() < 1 or column.max() > TOKENS_MAX:
                raise HbmArgumentError(f"{self.name}: {name} must be 1..{TOKENS_MAX}; leave other requests out")
        if self.block_tokens is None:
            return
        check_whole("block_tokens", self.block_tokens, 1, 1 << 16)
        s = self.hash_start
        if len(s) != n + 1 or s[0] != 0 or s[-1] != len(self.hash_ids) or (np.diff(s) < 0).any():
            raise HbmArgumentError(f"{self.name}: hash_start must rise from 0 to the number of hashes, one per request")

    def __len__(self) -> int:
        return len(self.time_s)

    def hashes(self, row: int) -> list[int]:
        """Hashes of one request's blocks, up to the first that repeats: it cannot stand for two prefixes."""
        if self.block_tokens is None:
            return []
        found: list[int] = self.hash_ids[self.hash_start[row] : self.hash_start[row + 1]].tolist()
        if len(different := list(dict.fromkeys(found))) < len(found):
            found = found[: next(i for i, name in enumerate([*different, None]) if name != found[i])]
        return found


def poisson(
    *, requests: int, per_second: float, input_tokens: int = 1024, output_tokens: int = 128, seed: int = 0
) -> Arrivals:
    """Requests that arrive independently of each other, with lengths spread exponentially around their means.

    Parameters
    ----------
    requests : int
    per_second : float
        Mean rate [1/s].
    input_tokens, output_tokens : int
        Mean lengths [tokens]; lengths are geometric, from 1 on.
    seed : int
        The same seed gives the same requests.

    Raises
    ------
    HbmArgumentError
        An argument is out of range.

    Examples
    --------
    >>> arrivals = poisson(requests=1000, per_second=5.0)
    >>> 180 < float(arrivals.time_s[-1]) < 220
    True
    """
    check_whole("requests", requests, 1, 1 << 24)
    rate = check_real("per_second", per_second, 1e-6, 1e6)
    check_whole("input_tokens", input_tokens, 1, TOKENS_MAX >> 8)
    check_whole("output_tokens", output_tokens, 1, TOKENS_MAX >> 8)
    check_whole("seed", seed, 0, (1 << 63) - 1)
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.exponential(1.0 / rate, requests))
    prompts, answers = (
        np.minimum(rng.geometric(1.0 / mean, requests), TOKENS_MAX) for mean in (input_tokens, output_tokens)
    )
    return Arrivals(f"poisson,per_second={rate:g},seed={seed}", times - times[0], prompts, answers)
