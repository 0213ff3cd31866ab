"""Evaluates the table of distances.

Owns the comparison "actual < required" for every rule of `rules.RULES`. Must not know what the rules are.
"""

from __future__ import annotations

from collections.abc import Iterator

from hbmmodel.check.rules import RULES, Rule, bits
from hbmmodel.check.view import Finding, View, latest

__all__ = ["distances"]


def _breaches(rule: Rule, view: View) -> Finding | None:
    required = view.limits.times.get(rule.name)
    if required is None:  # the standard of this device has no such time
        return None
    following, previous = latest(
        view, rule.scope, bits(rule.previous), bits(rule.following), other=rule.other, nth=rule.nth
    )
    actual = view.edge[following] - view.since(rule.since)[previous]
    early = actual < required
    if not early.any():
        return None
    return Finding(
        rule.name, view.rows[following[early]], view.rows[previous[early]], actual[early], required
    )


def distances(view: View, by_bank: View) -> Iterator[Finding]:
    """Find every command that comes too early after an earlier one.

    Parameters
    ----------
    view, by_bank : View
        One channel in both layouts.

    Yields
    ------
    Finding
    """
    for rule in RULES:
        finding = _breaches(rule, by_bank if rule.scope == "bank" else view)
        if finding is not None:
            yield finding
