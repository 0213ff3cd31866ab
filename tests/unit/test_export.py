"""Windows of a command log for other viewers: every command once, nothing overlaps, times exact; as read back."""

from __future__ import annotations

import importlib.util
import json
from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from cli_cases import fails, told
from sim_cases import reads, small, trace_of, writes

import hbmmodel as hbm
from hbmmodel.commands import COLUMN_COMMANDS, Command
from hbmmodel.errors import HbmArgumentError
from hbmmodel.export import window as window_module
from hbmmodel.export.intervals import channel_intervals, channels_of
from hbmmodel.export.window import read_window
from hbmmodel.result import Result, store

WINDOW_NS = (2500.0, 5000.0)


@pytest.fixture(scope="module")
def result() -> Result:
    """Two channels with reads, writes, conflicts, refreshes, and idle times that are slept through."""
    controller = hbm.Controller(power="power_down_idle", power_down_after_ns=50.0)
    system = small(channels=2, controller=controller, host_latency_ns=300.0)
    scattered = np.random.default_rng(3).permutation(4096)[:400] * 4096
    steps = [[reads(0, 64, rows=scattered), writes(1 << 24, 30_000)] for _ in range(4)]
    return hbm.simulate(system, trace_of(*steps), command_log=True)


class Slice(NamedTuple):
    """A slice of a trace that was read back."""

    start: int
    end: int
    name: str
    arguments: dict[str, Any]


class Read(NamedTuple):
    """What a trace holds: slices and counters by the path of their track."""

    slices: dict[tuple[str, ...], list[Slice]]
    counters: dict[tuple[str, ...], list[tuple[int, float]]]


def read_back(path: Path) -> Read:
    """Parse with Perfetto's own protobuf; names from the interned data."""
    pb2 = pytest.importorskip("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
    trace = pb2.Trace()
    trace.ParseFromString(path.read_bytes())
    names: dict[int, tuple[str, ...]] = {0: ()}
    words: dict[int, str] = {}
    open_at: dict[int, Any] = {}
    slices: dict[tuple[str, ...], list[Slice]] = defaultdict(list)
    counters: dict[tuple[str, ...], list[tuple[int, float]]] = defaultdict(list)
    for packet in trace.packet:
        for kind in ("event_names", "debug_annotation_names"):
            words.update({entry.iid: entry.name for entry in getattr(packet.interned_data, kind)})
        words.update({e.iid: e.str.decode() for e in packet.interned_data.debug_annotation_string_values})
        if packet.HasField("track_descriptor"):
            made = packet.track_descriptor
            names[made.uuid] = (*names[made.parent_uuid], made.name)
            continue
        event = packet.track_event
        track = names[event.track_uuid]
        if event.type == pb2.TrackEvent.Type.TYPE_COUNTER:
            counters[track].append((packet.timestamp, event.double_counter_value))
        elif event.type == pb2.TrackEvent.Type.TYPE_SLICE_BEGIN:
            assert event.track_uuid not in open_at, "slices of one track overlap"
            arguments = {}
            for one in event.debug_annotations:
                kind = one.WhichOneof("value")
                value = getattr(one, kind)
                arguments[words[one.name_iid]] = words[value] if kind == "string_value_iid" else value
            open_at[event.track_uuid] = (packet.timestamp, words[event.name_iid], arguments)
        else:
            start, name, arguments = open_at.pop(event.track_uuid)
            slices[track].append(Slice(start, packet.timestamp, name, arguments))
    assert not open_at
    return Read(dict(slices), dict(counters))


def inside(result: Result) -> Any:
    """The commands of the window, by the definition."""
    log, tick_ps = result.command_log, result.system.tick_ps
    assert log is not None
    low, high = (Fraction(end) * 1000 / tick_ps for end in WINDOW_NS)
    return log[(log["tick"] >= low) & (log["tick"] < high)]


def ps(result: Result, tick: int) -> int:
    """A tick of this system, 250 ps, is a whole number of ps."""
    time = tick * result.system.tick_ps
    assert time.denominator == 1
    return int(time)


@pytest.fixture(scope="module")
def trace(result: Result, tmp_path_factory: pytest.TempPathFactory) -> Read:
    pytest.importorskip("perfetto")
    path = tmp_path_factory.mktemp("perfetto") / "x.perfetto-trace"
    assert result.to_perfetto(path, WINDOW_NS) == path
    return read_back(path)


def test_every_command_of_the_window_is_on_a_bus_once(result: Result, trace: Read) -> None:
    log = inside(result)
    assert {"ACT", "RD", "WR", "REFpb", "PDE", "PDX"} <= {Command(code).name for code in np.unique(log["command"])}
    found = sorted(
        (channel, s.start, s.name, s.arguments.get("row", 0), s.arguments.get("column", 0), s.arguments["of"])
        for track, slices in trace.slices.items()
        if track[-1] in ("row bus", "column bus")
        for channel in [track[2]]
        for s in slices
    )
    expected = []
    for tick, _, channel, pc, code, sid, group, bank, row, column in log.tolist():
        of = f"pc {pc}"
        if code in COLUMN_COMMANDS | {Command.ACT, Command.PREpb, Command.REFpb}:
            of += f" SID {sid} BG {group} bank {bank}"
        expected.append((f"channel {channel}", ps(result, tick), Command(code).name, row, column, of))
    assert found == sorted(expected) and len(found) > 300


def test_slices_of_a_track_do_not_overlap(trace: Read) -> None:
    for track, slices in trace.slices.items():
        ordered = sorted(slices, key=lambda s: (s.start, s.end))
        assert all(a.end <= b.start for a, b in zip(ordered, ordered[1:], strict=False)), track
        assert all(s.start < s.end for s in slices), track


def test_bursts_are_on_the_data_bus_after_their_latency(result: Result, trace: Read) -> None:
    times = result.system.device.ticks()
    log = inside(result)
    for channel in (0, 1):
        for pc in (0, 1):
            mine = log[(log["channel"] == channel) & (log["pseudo_channel"] == pc)]
            mine = mine[np.isin(mine["command"], list(COLUMN_COMMANDS))]
            expected = []
            for tick, code in zip(mine["tick"].tolist(), mine["command"].tolist(), strict=True):
                first = tick + times["RL" if code == Command.RD else "WL"]
                expected.append((ps(result, first), ps(result, first + times["BL"]), Command(code).name))
            track = next(t for t in trace.slices if t[2:] == (f"channel {channel}", f"pseudo-channel {pc}", "data bus"))
            assert [(s.start, s.end, s.name.split()[0]) for s in trace.slices[track]] == expected


def expected_rows(result: Result) -> set[tuple[str, int, int, str]]:
    """Rows from ACT to precharge by a plain walk over the whole log, cut to the window."""
    log = result.command_log
    assert log is not None
    low, high = (round(end * 1000) for end in WINDOW_NS)
    rows: set[tuple[str, int, int, str]] = set()
    act = result.system.device.ticks()["act_reference"]
    opened: dict[tuple[int, ...], tuple[int, int]] = {}

    def shut(key: tuple[int, ...], at: int) -> None:
        since, row = opened.pop(key)
        if at > low and since < high:
            place = f"channel {key[0]} pc {key[1]} SID {key[2]} BG {key[3]} bank {key[4]}"
            rows.add((place, max(since, low), min(at, high), f"row {row}"))

    for tick, _, channel, pc, code, sid, group, bank, row, _ in log.tolist():
        key = (channel, pc, sid, group, bank)
        if code == Command.ACT:
            opened[key] = (ps(result, tick + act), row)
        elif code == Command.PREpb:
            shut(key, ps(result, tick))
        elif code == Command.PREab:
            for other in [k for k in opened if k[:2] == key[:2]]:
                shut(other, ps(result, tick))
    for key in list(opened):
        shut(key, high)
    return rows


def test_rows_are_open_from_their_activate_to_their_precharge(result: Result, trace: Read) -> None:
    found = set()
    for track, slices in trace.slices.items():
        if track[-1].startswith("SID"):
            place = f"{track[2]} pc {track[3].split()[1]} {track[4]}"
            found |= {(place, s.start, s.end, s.name) for s in slices if s.name.startswith("row")}
    assert found == expected_rows(result) and len(found) > 50


def test_refreshes_and_sleep_take_their_time(result: Result, trace: Read) -> None:
    times = result.system.device.ticks()
    refreshes = [s for t, found in trace.slices.items() if t[-1].startswith("SID") for s in found if s.name == "REFpb"]
    assert refreshes and {s.end - s.start for s in refreshes} == {ps(result, times["RFCpb"])}
    log = result.command_log
    assert log is not None
    asleep = [s for track, found in trace.slices.items() if track[-1] == "power" for s in found]
    entries = {ps(result, t) for t in log["tick"][log["command"] == Command.PDE].tolist()}
    exits = {ps(result, t) for t in log["tick"][log["command"] == Command.PDX].tolist()}
    assert asleep and {s.name for s in asleep} == {"power-down"}
    assert all(s.start in entries or "start" in s.arguments["cut_at"] for s in asleep)
    assert all(s.end in exits or "end" in s.arguments["cut_at"] for s in asleep)


def test_operations_are_cut_to_the_window_and_say_their_phase(result: Result, trace: Read) -> None:
    found = [s for track, slices in trace.slices.items() if track[1] == "operations" for s in slices]
    low, high = WINDOW_NS
    table = result.operations
    assert len(found) == int(((table["start_ns"] < high) & (table["end_ns"] > low)).sum()) >= 2
    for s in found:
        start_ns = table["start_ns"][s.arguments["operation"]]
        assert s.arguments["phase"] == "(none)" and s.start == round(1000 * max(low, start_ns))


def test_the_bandwidth_counter_holds_every_burst(result: Result, trace: Read) -> None:
    ((track, values),) = trace.counters.items()
    assert track[1:] == ("stack 0", "bandwidth of the channels shown")
    step_ps = values[1][0] - values[0][0]
    moved = sum(rate * step_ps * 1e-3 for _, rate in values)
    bursts = int(np.isin(inside(result)["command"], list(COLUMN_COMMANDS)).sum())
    assert moved == pytest.approx(bursts * result.system.device.organisation.burst_bytes)
    assert values[-1][1] == 0.0


def test_a_precharge_of_its_own_closes_a_row_when_the_standard_says() -> None:
    """RDA: tRTP after the column command, no sooner than tRAS after ACT."""
    system = small(controller=hbm.Controller(page_policy="closed", refresh="none"))
    result = hbm.simulate(system, hbm.Trace.from_requests([0], [False]), command_log=True)
    window = read_window(result)
    ((stack, channel, log),) = channels_of(window)
    times = system.device.ticks()
    (row,) = [i for i in channel_intervals(window, stack, channel, log) if i.place == "rows"]
    act, rda = log["tick"].tolist()
    assert log["command"].tolist() == [Command.ACT, Command.RDA]
    assert (row.start_tick, row.name) == (act + times["act_reference"], "row 0")
    by_standard = max(act + times["act_reference"] + times["RAS"], rda + times["RTP"])
    assert row.end_tick == min(by_standard, window.end_tick)


def test_temperature_and_power_are_counters_where_the_run_followed_them(tmp_path: Path) -> None:
    pytest.importorskip("perfetto")
    system = small(controller=hbm.Controller(refresh="none"))
    trace = trace_of([reads(0, 1 << 18)])
    result = hbm.simulate(system, trace, command_log=True, thermal="coupled", thermal_epoch_ns=1000.0)
    counters = read_back(result.to_perfetto(tmp_path / "t", (2000, 5000))).counters
    named = {track[-1]: values for track, values in counters.items()}
    table = result.temperature
    times = sorted({round(t * 1e12) for t in table["time_s"].tolist() if t < 5000e-9})
    within = [t for t in times if t >= 2_000_000]
    assert [t for t, _ in named["hottest cell"] if t > 2_000_000] == [t for t in within if t > 2_000_000]
    at = table["time_s"] == table["time_s"][table["time_s"] < 5000e-9].max()
    assert named["power of all dies"][-1][1] == pytest.approx(float(table["power_w"][at].sum()))


@pytest.mark.parametrize(
    ("device", "controller"),
    [
        ("HBM2E_3200", hbm.Controller(page_policy="closed", refresh="all_bank")),  # a tick of 312.5 ps
        ("HBM3E_9600", hbm.Controller(power="aggressive", page_policy="timeout", timeout_ns=100.0)),
        ("HBM4_8000", hbm.Controller(refresh="none", scheduler="fcfs")),
        ("HBM3_6400", hbm.Controller()),  # with RFM
        ("X_RAMULATOR21_HBM3_6400", hbm.Controller()),
    ],
)
@pytest.mark.parametrize("seed", [1, 2])
def test_no_traffic_makes_intervals_overlap(device: str, controller: hbm.Controller, seed: int) -> None:
    overrides = {"rfm": True} if device == "HBM3_6400" else {}
    system = small(device, channels=2, controller=controller, overrides=overrides)
    rng = np.random.default_rng(seed)
    n = 1500
    address = rng.integers(0, 1 << 22, n).astype(np.uint64) & ~np.uint64(31)
    times = np.sort(rng.integers(0, 20_000_000, n))
    trace = hbm.Trace.from_requests(address, rng.integers(0, 2, n).astype(np.uint8), time_ps=times)
    result = hbm.simulate(system, trace, command_log=True)
    window = read_window(result, (4000.0, 12_000.0))
    for stack, channel, log in channels_of(window):
        found = list(channel_intervals(window, stack, channel, log))
        assert sorted(i.start_tick for i in found if i.pseudo_channel < 0) == sorted(log["tick"].tolist())
        tracks: dict[tuple[str, int, int], list[tuple[int, int]]] = defaultdict(list)
        for i in found:
            key = i.place, i.pseudo_channel, i.bank if i.place == "rows" else -1
            tracks[key].append((window.time_ps(i.start_tick), window.time_ps(i.end_tick)))
        for key, spans in tracks.items():
            assert all(start < end for start, end in spans), key
            assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False)), key
        n_columns = int(np.isin(log["command"], list(COLUMN_COMMANDS)).sum())
        assert sum(i.place == "data bus" for i in found) == n_columns > 50


# ---- the log: windows, pieces, refusals ----


def test_a_recorded_window_holds_what_the_whole_log_holds_there() -> None:
    system = small(channels=2)
    trace = trace_of([reads(0, 20_000), writes(1 << 20, 9_000)])
    whole = hbm.simulate(system, trace, command_log=True)
    part = hbm.simulate(system, trace, command_log_window_ns=(100, 300.1))
    assert whole.command_log is not None and part.command_log is not None
    tick = whole.command_log["tick"]
    mask = (tick >= 400) & (tick < 1201)  # 300.1 ns is 1200.4 ticks
    assert 0 < mask.sum() < len(tick)
    assert (part.command_log == whole.command_log[mask]).all() and len(part.command_log) == mask.sum()
    assert part.trace["command_log_window_ticks"] == [400, 1201]
    assert part.summary == whole.summary and "command_log_window_ticks" not in whole.trace
    for bad in ((1, 1), (3, 2), (-1, 2), (0.01, 0.02), (0, float("inf")), ("a", 1), ("1", "2"), 7, (0, 1, 2)):
        with pytest.raises(HbmArgumentError, match="command_log_window_ns is .* two numbers of ns"):
            hbm.simulate(system, trace, command_log_window_ns=bad)  # type: ignore[arg-type]


def test_rows_open_before_a_recorded_window_are_told_from_their_reads(result: Result) -> None:
    whole, log = read_window(result, WINDOW_NS), result.command_log
    assert log is not None and whole.open_rows
    part = window_module.Window(whole.system, whole.tick_ps, whole.start_tick, whole.end_tick, whole.commands)
    for stack, channel, mine in channels_of(whole):
        known = {i for i in channel_intervals(whole, stack, channel, mine) if i.place == "rows"}
        told_ = {i for i in channel_intervals(part, stack, channel, mine) if i.place == "rows"}
        # what is missing had no command in the window; what is new is a row of which only the precharge is seen
        assert all(i.name == "a row" for i in told_ - known)
        assert all(i.arguments for i in known - told_)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_a_log_in_pieces_says_the_same(result: Result, size: int) -> None:
    log = result.command_log
    assert log is not None
    log = log[: 40 * size]
    whole = read_window(result, (0, 1e6), commands=[log])
    pieces = read_window(result, (0, 1e6), commands=(log[i : i + size] for i in range(0, len(log), size)))
    assert (whole.commands == pieces.commands).all()
    assert (whole.open_rows, whole.asleep) == (pieces.open_rows, pieces.asleep)
    ways = ([result.command_log], np.array_split(result.command_log, 9))
    late = [read_window(result, WINDOW_NS, commands=way) for way in ways]
    assert late[0].open_rows == late[1].open_rows and late[0].asleep == late[1].asleep and late[0].open_rows


def test_a_saved_log_is_read_in_pieces(result: Result, tmp_path: Path) -> None:
    folder = result.save(tmp_path / "run")
    assert (np.concatenate(list(store.log_pieces(folder))) == result.command_log).all()
    assert store.load(folder, command_log=False).command_log is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_ns": (5, 5)}, "window_ns is .5, 5.; give two numbers of ns"),
        ({"window_ns": (float("nan"), 5)}, "give two numbers of ns"),
        ({"window_ns": (1e9, 2e9)}, "but the log holds 0 ns to .* choose a window in it"),
        ({"channels": [2]}, "channels has 2; the system has 0..1"),
        ({"stacks": [True]}, "stacks has True"),
        ({"stacks": 1}, "stacks is 1; give a list"),
        ({"window_ns": ("1", "2")}, "give two numbers of ns"),
        ({"window_ns": (1, 2, 3)}, "give two numbers of ns"),
        ({"window_ns": (0, 0.25), "channels": []}, "no command in this window"),
    ],
)
def test_a_window_that_cannot_be_is_refused(result: Result, options: Any, message: str, tmp_path: Path) -> None:
    pytest.importorskip("perfetto")
    with pytest.raises(HbmArgumentError, match=message):
        result.to_perfetto(tmp_path / "x", **options)
    assert not list(tmp_path.iterdir())


def test_too_many_commands_are_refused_with_what_to_do(result: Result) -> None:
    with pytest.raises(HbmArgumentError, match="more than 10 commands; choose a shorter window, or fewer stacks"):
        read_window(result, limit=10)


def test_a_log_of_another_system_is_refused(result: Result) -> None:
    assert result.command_log is not None
    log = result.command_log.copy()
    log["channel"][7] = 2
    with pytest.raises(HbmArgumentError, match="the log names channel 2; the system has 0..1: this log is of another"):
        read_window(result, commands=[log])


def test_a_run_without_a_log_and_a_package_that_lacks_are_named(
    result: Result, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bare = hbm.simulate(small(), trace_of([reads(0, 64)]))
    with pytest.raises(HbmArgumentError, match="no command log"):
        read_window(bare)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(HbmArgumentError, match=r"perfetto.* not installed; pip install 'hbmmodel\[perfetto\]'"):
        result.to_perfetto(tmp_path / "x")
    with pytest.raises(HbmArgumentError, match=r"pip install 'hbmmodel\[vcd\]'"):
        result.to_vcd(tmp_path / "x")


def test_a_file_that_cannot_be_written_is_named(result: Result, tmp_path: Path) -> None:
    pytest.importorskip("perfetto")
    with pytest.raises(HbmArgumentError, match="cannot be written"):
        result.to_perfetto(tmp_path / "none" / "x", WINDOW_NS)


# ---- value change dumps ----


def test_a_dump_read_back_holds_the_commands_of_its_channel(result: Result, tmp_path: Path) -> None:
    reader = pytest.importorskip("vcd.reader")
    path = result.to_vcd(tmp_path / "x.vcd", WINDOW_NS, channel=1)
    names: dict[str, str] = {}
    scope: list[str] = []
    now, values = -1, {}
    seen: list[tuple[int, str, dict[str, Any]]] = []
    open_rows: list[tuple[int, str, str]] = []

    def step() -> None:
        for bus in ("row_bus", "column_bus"):
            command = values.get(f"{bus}.command", "-")
            if f"{bus}.command" in changed and command != "-":
                seen.append((now, command, {k: values.get(f"{bus}.{k}") for k in ("pc", "bank", "row", "column")}))
        open_rows.extend((now, name, values[name]) for name in changed if ".banks." in name)

    changed: set[str] = set()
    with open(path, "rb") as file:
        for token in reader.tokenize(file):
            kind = token.kind.name
            if kind == "SCOPE":
                scope.append(token.scope.ident)
            elif kind == "UPSCOPE":
                scope.pop()
            elif kind == "VAR":
                names[token.var.id_code] = ".".join([*scope[1:], token.var.reference])
            elif kind == "TIMESCALE":
                assert str(token.timescale) == "1 ps"
            elif kind == "CHANGE_TIME":
                step()
                changed.clear()
                assert token.time_change > now
                now = token.time_change
            elif kind.startswith("CHANGE"):
                change = token.data
                changed.add(names[change.id_code])
                values[names[change.id_code]] = int(change.value) if str(change.value) in "01" else change.value
    step()
    log = inside(result)
    log = log[log["channel"] == 1]
    expected = []
    for tick, _, _, pc, code, _, _, bank, row, column in log.tolist():
        expected.append((ps(result, tick), Command(code).name, pc, bank, row, column))
    with_row = {c.name for c in COLUMN_COMMANDS} | {"ACT"}
    with_bank = {*with_row, "PREpb", "REFpb"}
    found = [
        (t, name, v["pc"], v["bank"] if name in with_bank else 0, v["row"] if name in with_row else 0,
         v["column"] if name in {c.name for c in COLUMN_COMMANDS} else 0)
        for t, name, v in seen
    ]
    assert sorted(found) == sorted(expected) and len(found) > 100
    assert {value.split("_")[0] for _, _, value in open_rows} == {"row", "REFpb", "-"}


# ---- the command line ----


def test_the_commands_write_what_the_window_holds(
    result: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("perfetto")
    pytest.importorskip("vcd")
    folder = str(result.save(tmp_path / "run"))
    trace, direct = tmp_path / "x.perfetto-trace", tmp_path / "direct"
    text = told(capsys, "perfetto", folder, "--window", "2.5us:5000ns", "-o", str(trace))
    assert text.startswith(f"{trace}: ") and "ui.perfetto.dev" in text
    result.to_perfetto(direct, WINDOW_NS)
    assert trace.read_bytes() == direct.read_bytes()
    argv = ["vcd", folder, "--window", "2500 ns : 5.0us", "--channel", "1", "-o", str(tmp_path / "x.vcd")]
    shown = json.loads(told(capsys, *argv, "--json"))
    assert shown == {"path": str(tmp_path / "x.vcd"), "bytes": (tmp_path / "x.vcd").stat().st_size}
    assert told(capsys, *argv, "--quiet") == ""
    for bad in ("1:2", "1us", "3us:1us", "1us:2us:3us", "-1us:1us", "1us:1e3us", "1us:nan", "1h:2h"):
        line = fails(capsys, "perfetto", folder, "--window", bad, "-o", str(trace))
        assert "START:END" in line or "ends before it begins" in line
    assert "choose a window in it" in fails(capsys, "perfetto", folder, "--window", "1s:2s", "-o", str(trace))


def test_a_log_of_a_window_cannot_be_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    part = hbm.simulate(small(), trace_of([reads(0, 9000)]), command_log_window_ns=(100, 200)).save(tmp_path / "run")
    assert "a window alone" in fails(capsys, "check", str(part))
