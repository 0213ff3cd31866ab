"""The report's section on what a run was to its workload: tokens, joules, bytes by tensor class, room for caches.

Owns the words; must not know formulas (`hbmmodel.workload.metrics`) or how a section is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hbmmodel.report.units import bytes_text, count_text, energy_text, share_text, time_text

if TYPE_CHECKING:
    from hbmmodel.workload import Metrics

__all__ = ["grid_rows", "sentences"]

HEADER = ("", "read", "written", "per {unit}", "time", "share", "of peak")


def sentences(m: Metrics) -> tuple[str, ...]:
    """What a run was, in a few sentences."""
    alike = f", as on each of {m.devices} devices alike" if m.devices > 1 else ""
    told = [f"{m.kind} of {m.model}{alike}."]
    plural = {"query": "queries"}.get(m.unit, f"{m.unit}s")
    if m.tokens_per_s is not None:
        many = m.unit if m.tokens == 1 else plural
        told.append(
            f"{m.tokens:g} {many} in {time_text(m.time_ns)}: {_rate_text(m.tokens_per_s)} {plural}/s if memory is all "
            f"that takes time, {time_text(m.time_per_step_ns)} per step."
        )
    if m.energy_j_per_token is not None and m.energy_j_per_step is not None:
        every = "of all devices alike" if m.devices > 1 else "of the stacks"
        per_token, per_step = (energy_text(e * 1e12) for e in (m.energy_j_per_token, m.energy_j_per_step))
        told.append(f"{per_token} per {m.unit}, {per_step} per step {every}.")
    if m.energy_j_per_step_per_100b_parameters is not None:
        each = energy_text(m.energy_j_per_step_per_100b_parameters * 1e12)
        told.append(f"{each} per step for every 100 billion parameters.")
    c = m.capacity
    if c.weight_bytes:
        states = f" and {bytes_text(c.state_bytes)} of gradients and states" if c.state_bytes else ""
        held = f"{bytes_text(c.weight_bytes)} of weights{states} in {bytes_text(c.capacity_bytes)}"
        if c.kv_budget_bytes < 0:
            told.append(f"{held}: they do not fit.")
        elif c.kv_budget_tokens is not None:
            fits = f", {count_text(c.kv_budget_sequences)} sequences of this length" if c.kv_budget_sequences else ""
            told.append(f"{held} leave room for {count_text(c.kv_budget_tokens)} tokens of KV cache{fits}.")
        else:
            told.append(f"{held}.")
    return tuple(told)


def _rate_text(rate: float) -> str:
    """Four digits at least, and no exponent that a person must read."""
    return count_text(round(rate)) if 1e3 <= rate < 1e12 else f"{rate:.4g}"


def grid_rows(m: Metrics) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Header and rows: tensor classes, then phases if there are several."""
    phases = list(m.phases.items()) if len(m.phases) > 1 else []
    whole = sum(share.time_ns for share in m.classes.values())
    rows = tuple(
        (
            name,
            bytes_text(share.bytes_read),
            bytes_text(share.bytes_written),
            bytes_text(m.bytes_per_token[name]) if name in m.bytes_per_token else "-",
            time_text(share.time_ns),
            share_text(share.time_ns / whole if whole else None),
            share_text(share.fraction_of_peak),
        )
        for name, share in [*m.classes.items(), *phases]
    )
    return tuple(text.format(unit=m.unit) for text in HEADER), rows
