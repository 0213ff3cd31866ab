"""The core's counts per bank and times in states against an independent walk over the command log."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sim_cases as cases
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_sim_conservation import systems

import hbmmodel as hbm
from hbmmodel.commands import Command
from hbmmodel.energy import COMPONENTS, Counts, Geometry, energy_pj, energy_set, energy_sets, power_w
from hbmmodel.energy.counts import PER_BANK


def run(system: hbm.System, traffic: Any, *, log: bool, skip: bool = True, threads: int = 1) -> tuple[Counts, Any]:
    """Counts of some requests, and the log."""
    address, is_write, tick = traffic
    core = cases.core_of(system, threads=threads, log=log, epoch_ticks=1000, skip=skip)
    core.requests(address, is_write, tick, False)
    end = core.finish()
    geometry = Geometry.of(system.device, system.stacks)
    counts = Counts.from_core(geometry, system.tick_ps, end, core.bank_counters(), core.counters())
    return counts, core.commands() if log else None


@st.composite
def traffic(draw: Any, system: hbm.System) -> tuple[NDArray[np.uint64], NDArray[np.uint8], NDArray[np.int64] | None]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(1, 600))
    bursts = {
        "stream": np.arange(n),
        "hammer": np.arange(n) % 3 * 131072,
        "random": rng.integers(0, system.capacity_bytes // 32, n),
    }[draw(st.sampled_from(["stream", "hammer", "random"]))]
    gap = draw(st.sampled_from([None, 4, 300, 100_000]))
    tick = None if gap is None else np.cumsum(rng.integers(0, gap + 1, n)).astype(np.int64)
    address = (bursts * 32 % system.capacity_bytes).astype(np.uint64)
    return address, (rng.random(n) < draw(st.sampled_from([0.0, 0.4, 1.0]))).astype(np.uint8), tick


def walk(system: hbm.System, log: NDArray[Any], end: int) -> dict[str, NDArray[np.int64]]:
    """What the log says, command by command, by the times of the device."""
    g, t = Geometry.of(system.device, system.stacks), system.device.ticks()
    names = ("n_act", "n_rd", "n_wr", "n_ref_pb", "n_rfm_pb", "active_ticks")
    found = {name: np.zeros(g.shape, dtype=np.int64) for name in names}
    found |= {name: np.zeros(g.shape[:3], dtype=np.int64) for name in ("n_ref_ab", "n_rfm_ab", "any_active_ticks")}
    simple = {"RD": "n_rd", "RDA": "n_rd", "WR": "n_wr", "WRA": "n_wr", "REFpb": "n_ref_pb", "RFMpb": "n_rfm_pb"}
    counter = {int(Command[name]): field for name, field in (*simple.items(), ("ACT", "n_act"))}
    whole = {int(Command["REFab"]): "n_ref_ab", int(Command["RFMab"]): "n_rfm_ab"}
    act_at: dict[tuple[int, ...], int] = {}
    ready: dict[tuple[int, ...], int] = {}  # when an open bank may be precharged
    stretches: dict[tuple[int, ...], list[tuple[int, int]]] = {}

    def close(bank: tuple[int, ...], at: int, closed: int) -> None:
        begin = act_at.pop(bank)
        found["active_ticks"][bank] += min(closed, end) - begin
        stretches.setdefault(bank[:3], []).append((begin, at))

    for c in log:
        pc = (int(c["stack"]), int(c["channel"]), int(c["pseudo_channel"]))
        flat = (int(c["sid"]) * t["bank_groups"] + int(c["bank_group"])) * t["banks_per_group"] + int(c["bank"])
        bank, at, command = (*pc, flat), int(c["tick"]), int(c["command"])
        if command in whole:
            found[whole[command]][pc] += 1
        elif command in counter:
            found[counter[command]][bank] += 1
        if command == Command.ACT:
            act_at[bank], ready[bank] = at, at + t["act_reference"] + t["RAS"]
        elif command in (Command.RD, Command.RDA):
            ready[bank] = max(ready[bank], at + t["column_reference"] + t["RTP"])
        elif command in (Command.WR, Command.WRA):
            ready[bank] = max(ready[bank], at + t["column_reference"] + t["WL"] + t["BL"] + t["WR"])
        if command in (Command.RDA, Command.WRA):
            close(bank, at, ready[bank])
        elif command == Command.PREpb:
            close(bank, at, at)
        elif command == Command.PREab:
            for other in [b for b in act_at if b[:3] == pc]:
                close(other, at, at)
    for bank in list(act_at):
        close(bank, end, end)
    for pc, parts in stretches.items():
        until = 0
        for begin, stop in sorted(parts):
            found["any_active_ticks"][pc] += max(stop - max(begin, until), 0)
            until = max(until, stop)
    return found


@given(st.data(), systems())
@settings(max_examples=120, deadline=None)
def test_counts_of_every_bank_are_those_of_the_log(data: Any, system: hbm.System) -> None:
    counts, log = run(system, data.draw(traffic(system)), log=True)
    for name, want in walk(system, log, counts.elapsed_ticks).items():
        assert np.array_equal(getattr(counts, name), want), name


@given(st.data(), systems(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_skipping_threads_and_the_log_change_no_count(data: Any, system: hbm.System, two: bool) -> None:
    requests = data.draw(traffic(system))
    plain, _ = run(system, requests, log=False, threads=2 if two else 1)
    logged, _ = run(system, requests, log=True)
    slow = run(system, requests, log=False, skip=False)[0] if plain.elapsed_ticks < 100_000 else logged
    for name in (*Counts.__dataclass_fields__,)[3:]:
        assert np.array_equal(getattr(plain, name), getattr(logged, name)), name
        assert np.array_equal(getattr(plain, name), getattr(slow, name)), name


@given(st.sampled_from(["per_bank", "all_bank"]), st.sampled_from([1.0, 0.5, 0.25]), st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_every_bank_gets_the_refreshes_that_are_due(refresh: str, multiplier: float, seed: int) -> None:
    system = cases.small(controller=hbm.Controller(refresh=refresh), refresh_multiplier=multiplier)
    rng = np.random.default_rng(seed)
    n = 4000
    address = (rng.integers(0, system.capacity_bytes // 32, n) * 32).astype(np.uint64)
    tick = np.cumsum(rng.integers(0, 200, n)).astype(np.int64)
    counts, _ = run(system, (address, np.zeros(n, np.uint8), tick), log=False)
    t, scale = system.device.ticks(), round(1 / multiplier)
    per_bank = t["REFIpb"] // scale * system.device.organisation.banks  # whole ticks between two commands
    due = counts.elapsed_ticks // (per_bank if refresh == "per_bank" else t["REFI"] // scale)
    got = counts.n_ref_pb + counts.n_ref_ab[..., None]
    assert due > 8
    assert np.abs(got - due).max() <= 1


def random_counts(geometry: Geometry, tick_ps: Any, seed: int) -> Counts:
    rng = np.random.default_rng(seed)
    elapsed = int(rng.integers(1, 10**9))

    def draw(shape: Any, most: int) -> NDArray[np.int64]:
        return rng.integers(0, most + 1, shape)

    per_bank = {name: draw(geometry.shape, elapsed if name == "active_ticks" else 10**6) for name in PER_BANK}
    states = ("any_active_ticks", "active_down_ticks", "precharged_down_ticks", "self_refresh_ticks")
    per_pc = {name: draw(geometry.shape[:3], elapsed // 4) for name in ("n_ref_ab", "n_rfm_ab", *states)}
    return Counts(geometry, tick_ps, elapsed, **per_bank, **per_pc)


@given(
    st.sampled_from(energy_sets()), st.sampled_from(["low", "typical", "high"]), st.floats(0, 1), st.booleans(),
    st.floats(-40, 130), st.integers(0, 2**32),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_energies_of_adjacent_stretches_add_up_and_none_is_negative(
    name: str, level: Any, toggle_rate: float, dbi: bool, temperature_c: float, seed: int
) -> None:
    system = cases.small(channels=4, stacks=2)
    geometry, energies = Geometry.of(system.device, 2), energy_set(name)
    first, second = (random_counts(geometry, system.tick_ps, seed + i) for i in range(2))
    options: dict[str, Any] = {"level": level, "toggle_rate": toggle_rate, "dbi": dbi, "temperature_c": temperature_c}
    parts = [energy_pj(counts, energies, **options) for counts in (first, second, first + second)]
    for component in COMPONENTS:
        a, b, both = (part[component] for part in parts)
        assert (a >= 0).all() and (b >= 0).all()
        np.testing.assert_allclose(a + b, both, rtol=1e-12, atol=1e-300)  # a toggle rate may be the least number
    total = sum(float(values.sum()) for values in parts[0].values())
    assert power_w(first, energies, **options).total_w * first.elapsed_s * 1e12 == pytest.approx(total, rel=1e-12)
