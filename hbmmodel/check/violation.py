"""One breach of the protocol, in numbers and in words.

Owns the `Violation` that users see. Must not know how breaches are found.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

__all__ = ["AT_MOST", "END", "Violation"]

AT_MOST = frozenset({"tRASmax", "refresh.gap", "refresh.rate"})
"""Rules whose `required_ps` is a limit from above; every other one is a least distance."""

END = "end"
"""`command` of a breach that shows when the log ends."""


def _ns(time_ps: Fraction) -> str:
    """Picoseconds as ns, to the femtosecond, without trailing zeros."""
    return f"{float(time_ps) / 1000:.6f}".rstrip("0").rstrip(".")


@dataclass(frozen=True)
class Violation:
    """One command that breaks one rule, or a refresh that is missing when the log ends.

    Attributes
    ----------
    index : int
        Row of the command in the log that was checked; the log's length for what is missing at its end.
    rule : str
        JEDEC symbol of the broken time (``"tRCDRD"``), or ``"bus.row"``, ``"state.ACT_open_bank"``,
        ``"refresh.set"``, ...: the list is in ``docs/model/checker.md``.
    command : str
        Name of the command; ``"end"`` for what is missing at the end of the log.
    previous_index : int or None
        Row of the earlier command that the rule counts from; negative for a row of `initial`, counted from
        its end; None where no single command is meant.
    time_ps : Fraction
        Stamp of the command, exact.
    required_ps, actual_ps : Fraction or None
        What the rule asks for and what the log has, exact; None for rules that are not about a time.
    location : str
        Stack, channel, pseudo-channel and, for a command of one bank, SID, bank group, bank, row and column.
    detail : str
        What is wrong, for rules that are not about a time.

    Examples
    --------
    >>> at, needed, found = Fraction(50000), Fraction(16000), Fraction(15500)
    >>> print(Violation(7, "tRP", "ACT", 3, at, needed, found, "stack 0 channel 1"))
    row 7: ACT at 50 ns, stack 0 channel 1: tRP: 15.5 ns after row 3, at least 16 ns needed
    """

    index: int
    rule: str
    command: str
    previous_index: int | None
    time_ps: Fraction
    required_ps: Fraction | None
    actual_ps: Fraction | None
    location: str
    detail: str = ""

    def __str__(self) -> str:
        what = "end of the log" if self.command == END else f"row {self.index}: {self.command}"
        text = f"{what} at {_ns(self.time_ps)} ns, {self.location}: {self.rule}"
        if self.required_ps is not None and self.actual_ps is not None:
            since = "" if self.previous_index is None else f" after {self._previous()}"
            bound = "at most" if self.rule in AT_MOST else "at least"
            verb = "allowed" if self.rule in AT_MOST else "needed"
            detail = f" ({self.detail})" if self.detail else ""
            return (
                text + f": {_ns(self.actual_ps)} ns{since}, {bound} {_ns(self.required_ps)} ns {verb}{detail}"
            )
        text += f": {self.detail}" if self.detail else ""
        return text if self.previous_index is None else f"{text} ({self._previous()})"

    def _previous(self) -> str:
        if self.previous_index is None:
            return ""
        return (
            f"row {self.previous_index}"
            if self.previous_index >= 0
            else f"row {self.previous_index} of initial"
        )

    def as_dict(self) -> dict[str, object]:
        """Plain numbers and strings, for JSON; times in ps as floats.

        Returns
        -------
        dict
            The attributes by name, and ``message``, the sentence that `str` gives.
        """

        def plain(value: Fraction | None) -> float | None:
            return None if value is None else float(value)

        return {
            "index": self.index,
            "rule": self.rule,
            "command": self.command,
            "previous_index": self.previous_index,
            "time_ps": float(self.time_ps),
            "required_ps": plain(self.required_ps),
            "actual_ps": plain(self.actual_ps),
            "location": self.location,
            "detail": self.detail,
            "message": str(self),
        }
