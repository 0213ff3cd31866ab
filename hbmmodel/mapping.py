"""Address maps: names and expressions for how a physical address becomes stack, channel, bank, row and column.

Owns the grammar, its check against a device, and the explanation of single addresses; the arithmetic is the core's.
Must not know timing or traces.

Grammar, most significant first::

    map    = pieces { ";" flip }
    pieces = piece { (" " | "-") piece }
    piece  = field [ "[" high ":" low "]" ]          slices only of fields whose size is a power of two
    field  = "stack" | "channel" | "pseudo_channel" | "sid" | "bank_group" | "bank" | "row" | "column"
    flip   = field "^=" field "[" high ":" low "]"   XOR with bits of a row, column, bank, bank group or SID

A field of size one may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from hbmmodel.errors import HbmAddressError, HbmArgumentError, HbmMapError

if TYPE_CHECKING:
    from hbmmodel._core import CoreDevice, CoreMap
    from hbmmodel.system import System

__all__ = ["FIELDS", "NAMED_MAPS", "AddressMap"]

FIELDS = ("stack", "channel", "pseudo_channel", "sid", "bank_group", "bank", "row", "column")

_INTERLEAVE = "stack channel pseudo_channel"

#: Name -> expression. {column} and {bank_group} are what {granule} leaves for above the interleave.
NAMED_MAPS: dict[str, str] = {
    "row-bank-column-channel": "row sid bank {column} {bank_group} " + _INTERLEAVE + " {granule}",
    "row-bank-column-channel-hashed": "row sid bank {column} {bank_group} "
    + _INTERLEAVE
    + " {granule}; bank ^= row{bank_bits}; channel ^= row{channel_bits}",
    "row-column-bank-channel": "row {column} sid bank {bank_group} " + _INTERLEAVE + " {granule}",
    "channel-row-bank-column": _INTERLEAVE + " row sid bank column bank_group",
}
_OR_NAMED = f"; or name a map: {', '.join(NAMED_MAPS)}"

_PIECE = re.compile(r"([a-z_]+)(?:\[([0-9]{1,4}):([0-9]{1,4})\])?\Z")
_FLIP = re.compile(r"\s*([a-z_]+)\s*\^=\s*([a-z_]+)\[([0-9]{1,4}):([0-9]{1,4})\]\s*\Z")

Piece = tuple[int, int, int]
Flip = tuple[int, int, int, int]


def _bits(size: int) -> int | None:
    """Bits of a power of two, else None."""
    return size.bit_length() - 1 if size & (size - 1) == 0 else None


class AddressMap:
    """The bijection between the byte addresses of a system and its banks, rows and columns.

    Parameters
    ----------
    system : System
        Gives the device, the number of stacks, the map's name or expression and the granule.

    Raises
    ------
    HbmMapError
        The expression is malformed, names an unknown field, or does not cover every field exactly once.

    Source
    ------
    The standards leave address maps to the host.  Bank groups lie lowest, so that consecutive bursts of a
    pseudo-channel meet tCCDS; SIDs lie above the columns, because every change of SID costs tCCDR.

    Examples
    --------
    >>> from hbmmodel.device import device
    >>> from hbmmodel.system import System
    >>> m = System(device("HBM4_8000", variant="24Gb_12H"), stacks=8).map
    >>> m.expression
    'row sid bank column[4:2] stack channel pseudo_channel column[1:0] bank_group'
    >>> [int(x) for x in m.decode([0x1234_5678])[0]]
    [1, 11, 0, 0, 1, 3, 12, 9]
    >>> int(m.encode(m.decode([0x1234_5660]))[0]) == 0x1234_5660
    True
    """

    def __init__(self, system: System) -> None:
        from hbmmodel import _core

        organisation = system.device.organisation
        self._sizes = (
            system.stacks,
            organisation.channels,
            organisation.pseudo_channels,
            organisation.sids,
            organisation.bank_groups,
            organisation.banks_per_group,
            organisation.rows,
            organisation.columns,
        )
        self.burst_bytes = organisation.burst_bytes
        self.name = system.mapping if system.mapping in NAMED_MAPS else None
        self.expression = self._expand(system.mapping, system.granule_bytes // organisation.burst_bytes)
        self._pieces, self._flips = self._parse(self.expression)
        self._device: CoreDevice = _core.CoreDevice(system.device.ticks())
        try:
            self.core: CoreMap = _core.CoreMap(self._device, system.stacks, self._pieces, self._flips)
        except (HbmMapError, HbmArgumentError) as error:
            raise HbmMapError(f"mapping {self.expression!r}: {error}") from None

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The digits of a burst's number from its low end, as ``hbm_map_create`` takes them: number of the field
        (``enum hbm_field``), radix, multiplier.

        Examples
        --------
        >>> from hbmmodel.device import device
        >>> from hbmmodel.system import System
        >>> System(device("HBM4_8000")).map.pieces[:2]  # 2 bank groups, then 4 of the columns
        ((4, 2, 1), (7, 4, 1))
        """
        return tuple(self._pieces)

    @property
    def flips(self) -> tuple[Flip, ...]:
        """The XOR terms, as ``hbm_map_create`` takes them: numbers of the fields of target and source, shift, mask."""
        return tuple(self._flips)

    @property
    def capacity_bytes(self) -> int:
        """Bytes that the map covers: all stacks."""
        return int(self.core.capacity_bytes)

    def decode(self, addresses: npt.ArrayLike, *, wrap: bool = False) -> npt.NDArray[np.int32]:
        """Coordinates of byte addresses.

        Parameters
        ----------
        addresses : array_like of uint64, shape (n,)
        wrap : bool
            Take addresses modulo the capacity instead of refusing them.

        Returns
        -------
        ndarray of int32, shape (n, 8)
            Columns in the order of `FIELDS`.

        Raises
        ------
        HbmAddressError
            An address lies outside; the message names the first.
        """
        return self.core.decode(_addresses(addresses), wrap)

    def encode(self, coordinates: npt.ArrayLike) -> npt.NDArray[np.uint64]:
        """First byte address of the burst at each row of coordinates; the inverse of `decode`.

        Parameters
        ----------
        coordinates : array_like of int, shape (n, 8)
            Columns in the order of `FIELDS`.

        Raises
        ------
        HbmAddressError
            A coordinate is not a whole number, or outside the system; the message names the first.
        """
        try:
            rows = np.atleast_2d(np.asarray(coordinates))
        except ValueError:  # rows of different lengths
            rows = np.empty((0, 0))
        if rows.ndim != 2 or rows.shape[1] != len(FIELDS):
            raise HbmAddressError(f"coordinates must have the {len(FIELDS)} columns {', '.join(FIELDS)}")
        if rows.dtype.kind not in "iu":
            raise HbmAddressError("coordinates must be whole numbers")
        bad = np.argwhere((rows < 0) | (rows >= np.array(self._sizes)))
        if len(bad):
            i, field = (int(x) for x in bad[0])
            raise HbmAddressError(
                f"coordinates (entry {i}): {FIELDS[field]} {rows[i, field]} is outside 0..{self._sizes[field] - 1}"
            )
        return self.core.encode(np.ascontiguousarray(rows, dtype=np.int32))

    def explain(self, address: int) -> str:
        """Say where one byte lies and how the map got there, digit by digit.

        Examples
        --------
        >>> from hbmmodel.device import device
        >>> from hbmmodel.system import System
        >>> print(System(device("HBM3_6400")).map.explain(4096).splitlines()[0])
        address 0x1000 = burst 128, byte 0 of 32
        """
        place = [int(x) for x in self.decode([address])[0]]
        burst, byte = divmod(address, self.burst_bytes)
        lines = [f"address {address:#x} = burst {burst}, byte {byte} of {self.burst_bytes}", f"map: {self.expression}"]
        rest = burst
        for field, radix, multiplier in self._pieces:
            rest, digit = divmod(rest, radix)
            part = "" if radix == self._sizes[field] else f" (times {multiplier})"
            lines.append(f"  {FIELDS[field]:<15} digit {digit} of {radix}{part}")
        for target, source, shift, mask in self._flips:
            lines.append(f"  {FIELDS[target]} ^= ({FIELDS[source]} >> {shift}) & {mask:#x}")
        lines.append("-> " + ", ".join(f"{name} {value}" for name, value in zip(FIELDS, place, strict=True)))
        return "\n".join(lines)

    def _expand(self, mapping: str, granule_bursts: int) -> str:
        """A named map as an expression for this device; an expression as it is."""
        template = NAMED_MAPS.get(mapping)
        if template is None:
            return " ".join(mapping.split())
        group_bits, column_bits, bank_bits, channel_bits = (
            _bits(self._sizes[FIELDS.index(name)]) for name in ("bank_group", "column", "bank", "channel")
        )
        if group_bits is None or column_bits is None:
            raise HbmMapError(f"mapping {mapping!r} needs powers of two of bank groups and columns; give an expression")
        bits = granule_bursts.bit_length() - 1
        low_group = min(bits, group_bits)
        low_column = min(bits - low_group, column_bits)
        if low_group + low_column < bits:
            raise HbmMapError(
                f"granule of {granule_bursts} bursts is larger than a row of all bank groups; make it smaller"
            )
        parts = {
            "column": _slice("column", column_bits, low_column, column_bits),
            "bank_group": _slice("bank_group", group_bits, low_group, group_bits),
            "granule": _slice("column", low_column, 0, column_bits)
            + " "
            + _slice("bank_group", low_group, 0, group_bits),
            "bank_bits": f"[{(bank_bits or 0) - 1}:0]",
            "channel_bits": f"[{(channel_bits or 0) - 1}:0]",
        }
        if "hashed" in mapping and not (bank_bits and channel_bits):
            raise HbmMapError(f"mapping {mapping!r} needs powers of two of banks and channels; give an expression")
        return " ".join(template.format(**parts).split())

    def _parse(self, expression: str) -> tuple[list[Piece], list[Flip]]:
        head, *flips = expression.split(";")
        pieces: list[Piece] = []
        whole: set[int] = set()
        for word in reversed(re.split(r"[\s\-]+", head.strip())):
            match = _PIECE.match(word)
            if match is None:
                raise HbmMapError(
                    f"mapping {expression!r}: cannot read {word!r}; write field or field[high:low]{_OR_NAMED}"
                )
            field = self._field(expression, match[1])
            size = self._sizes[field]
            if field in whole or (match[2] is None and any(piece[0] == field for piece in pieces)):
                raise HbmMapError(f"mapping {expression!r}: {match[1]} is named twice; name every field exactly once")
            if match[2] is None:
                whole.add(field)
                pieces.append((field, size, 1))
                continue
            high, low = int(match[2]), int(match[3])
            bits = _bits(size)
            if bits is None or not 0 <= low <= high < bits:
                allowed = f"it has bits {bits - 1}:0" if bits else f"its size {size} is not sliceable"
                raise HbmMapError(f"mapping {expression!r}: {word} does not exist; {allowed}")
            pieces.append((field, 1 << (high - low + 1), 1 << low))
        for field, size in enumerate(self._sizes):
            covered = 1
            for piece in pieces:
                covered *= piece[1] if piece[0] == field else 1
            if covered != size:
                raise HbmMapError(
                    f"mapping {expression!r}: {FIELDS[field]} is covered {covered} of {size}; "
                    "name every field exactly once"
                )
        terms = [self._flip(expression, text) for text in flips if text.strip()]
        both = {target for target, *_ in terms} & {source for _, source, *_ in terms}
        if both:
            name = FIELDS[min(both)]
            raise HbmMapError(f"mapping {expression!r}: {name} is flipped and flips others; it can only do one")
        return pieces, terms

    def _flip(self, expression: str, text: str) -> Flip:
        match = _FLIP.match(text)
        if match is None:
            raise HbmMapError(f"mapping {expression!r}: cannot read {text.strip()!r}; write field ^= field[high:low]")
        target, source = self._field(expression, match[1]), self._field(expression, match[2])
        high, low = int(match[3]), int(match[4])
        size, top = self._sizes[target], (self._sizes[source] - 1).bit_length() - 1
        problem = None
        if match[1] in ("row", "column"):
            problem = "a row or column cannot be flipped; flip what lies above a bank, or a bank"
        elif match[2] in FIELDS[:3] or (match[2] != "row" and _bits(self._sizes[source]) is None):
            problem = f"{match[2]} cannot flip; take a row, or a column, bank, bank group or SID of 2**n values"
        elif _bits(size) is None:
            problem = f"{match[1]} has {size} values; only a field of 2**n values can be flipped"
        elif not low <= high <= top:
            problem = f"{match[2]} has bits {top}:0" if top >= 0 else f"{match[2]} has one value only"
        elif 1 << (high - low + 1) > size:
            problem = f"has more bits than {match[1]} ({size} values)"
        if problem is not None:
            raise HbmMapError(f"mapping {expression!r}: {text.strip()!r}: {problem}")
        return target, source, low, (1 << (high - low + 1)) - 1

    @staticmethod
    def _field(expression: str, name: str) -> int:
        if name not in FIELDS:
            raise HbmMapError(
                f"mapping {expression!r}: unknown field {name!r}; choose from {', '.join(FIELDS)}{_OR_NAMED}"
            )
        return FIELDS.index(name)


def _slice(name: str, high: int, low: int, bits: int) -> str:
    """Bits [low, high) of a field as a piece: empty when there are none, the bare name when it is all of it."""
    if high <= low:
        return ""
    return name if (low, high) == (0, bits) else f"{name}[{high - 1}:{low}]"


def _addresses(addresses: npt.ArrayLike | Sequence[int]) -> npt.NDArray[np.uint64]:
    if isinstance(addresses, list | tuple) and all(type(a) is int and 0 <= a < 1 << 64 for a in addresses):
        addresses = np.array(addresses, dtype=np.uint64)  # without a type numpy makes floats of large ones
    array = np.atleast_1d(np.asarray(addresses))
    if array.ndim != 1 or array.dtype.kind not in "iu" or (array.dtype.kind == "i" and array.size and array.min() < 0):
        raise HbmAddressError("addresses must be a one-dimensional array of whole numbers in 0..2**64 - 1")
    return np.ascontiguousarray(array, dtype=np.uint64)
