"""Quotas and programs side by side: what is refused, and what a user gets for each of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sim_cases as cases
from test_borders import replay_of

import hbmmodel as hbm
from hbmmodel.commands import COLUMN_COMMANDS
from hbmmodel.errors import HbmAddressError, HbmArgumentError, HbmInternalError, HbmPolicyError
from hbmmodel.mapping import AddressMap
from hbmmodel.quotas import parse_quota
from hbmmodel.result import Table
from hbmmodel.sim.closed import Loop
from hbmmodel.sim.interrupt import Stop
from hbmmodel.system import System
from hbmmodel.trace import OpTrace

MIB = 1 << 20
PERCENTILES = tuple(f"read_latency_ns_{name}" for name in ("p50", "p99", "p999"))


def reads(n_bytes: int = MIB, n: int = 1) -> OpTrace:
    return cases.trace_of(*[[cases.reads(i * n_bytes, n_bytes)] for i in range(n)])


def writes(n_bytes: int = MIB, n: int = 1) -> OpTrace:
    return cases.trace_of(*[[cases.writes(i * n_bytes, n_bytes)] for i in range(n)])


def system(slack_ns: float = 100.0, **quotas: hbm.Quota) -> System:
    return cases.small(channels=1, controller=hbm.Controller(quotas=quotas, quota_slack_ns=slack_ns))


def rows(result: hbm.Result) -> dict[str, dict[str, Any]]:
    return {row["traffic_class"]: row for row in result.traffic_classes.rows()}


# ---- what is refused ----


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"reserved_share": 1.5}, "reserved_share is 1.5"),
        ({"reserved_share": float("nan")}, "reserved_share is nan"),
        ({"reserved_share": 1e-9}, "reserved_share is 1e-09"),
        ({"cap_share": 0}, "cap_share is 0; give a share in 0.001..1"),
        ({"cap_share": "0.5"}, "cap_share is 0.5"),
        ({"cap_share": True}, "cap_share is True"),
        ({"queue_share": 0}, "queue_share is 0; a class without a place"),
        ({"priority": 16}, "priority must be a whole number in 0..15, not '16'"),
        ({"priority": 1.0}, "priority must be"),
        ({"priority": 10**5000}, "priority must be"),
        ({"reserved_share": 0.5, "cap_share": 0.4}, "cannot use more than its cap"),
    ],
)
def test_a_quota_out_of_range_is_refused_in_one_line(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(HbmPolicyError) as error:
        hbm.Quota(**fields)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("quotas", "message"),
    [
        ([], "give a dict from names"),
        ({"a b": hbm.Quota()}, "a class of traffic is called 'a b'"),
        ({3: hbm.Quota()}, "a class of traffic is called '3'"),
        ({"a": 0.5}, "that of a is '0.5'; give a Quota"),
        ({str(i): hbm.Quota() for i in range(9)}, "there are 9 quotas"),
        ({str(i): hbm.Quota(reserved_share=0.4) for i in range(3)}, "add up to 1.2"),
    ],
)
def test_quotas_that_cannot_be_kept_together_are_refused(quotas: Any, message: str) -> None:
    with pytest.raises(HbmPolicyError, match=message):
        hbm.Controller(quotas=quotas)


@pytest.mark.parametrize("slack", [-1, float("inf"), "1", 1e7])
def test_slack_is_checked(slack: Any) -> None:
    with pytest.raises(HbmPolicyError, match="quota_slack_ns"):
        hbm.Controller(quota_slack_ns=slack)


@pytest.mark.parametrize(
    "text", ["", "a", "a:", ":cap=1", "a:cap", "a:cap=x", "a:speed=1", "a:cap=1,cap=1", "a:cap=2", "a:priority=0.5"]
)
def test_a_malformed_quota_of_the_command_line_is_refused(text: str) -> None:
    with pytest.raises(HbmPolicyError) as error:
        parse_quota(text)
    assert "\n" not in str(error.value)


def test_a_quota_that_would_have_no_effect_is_refused() -> None:
    with pytest.raises(HbmArgumentError, match="quota for 'bulk', and it has no classes"):
        hbm.simulate(system(bulk=hbm.Quota()), reads())
    with pytest.raises(HbmArgumentError, match="quota for 'bulk', and its classes are a, b"):
        hbm.simulate(system(bulk=hbm.Quota()), hbm.side_by_side({"a": reads(), "b": reads()}))
    with pytest.raises(HbmArgumentError, match="no classes"):
        hbm.simulate(system(bulk=hbm.Quota()), hbm.Trace.from_requests([0], [False]))


def test_what_cannot_stand_side_by_side_is_refused() -> None:
    requests: Any = hbm.Trace.from_requests([0], [False])
    for programs, background, message in (
        ({}, (), "1 to 8 traces, not 0"),
        ({str(i): reads() for i in range(9)}, (), "not 9"),
        ([reads()], (), "by the names of their classes"),
        ({"a": requests}, (), "only traces of operations"),
        ({"a": hbm.side_by_side({"b": reads()})}, (), "only traces of operations"),
        ({"a/b": reads()}, (), "a class of traffic is called"),
        ({"a": reads()}, "a", "at least one must end"),
        ({"a": reads()}, "b", "background names 'b'"),
    ):
        with pytest.raises(HbmArgumentError, match=message):
            hbm.side_by_side(programs, background=background)  # type: ignore[arg-type]
    both = hbm.side_by_side({"a": reads(), "b": reads()})
    with pytest.raises(HbmArgumentError, match="leave mode out"):
        hbm.simulate(system(), both, mode="asap")
    with pytest.raises(HbmArgumentError, match="select before"):
        both.select("x")


def test_an_address_outside_names_the_program() -> None:
    huge = hbm.Trace.from_operations([cases.operation(0, cases.reads(0, 1 << 40))], name="huge.hbmop")
    with pytest.raises(HbmAddressError, match=r"huge.hbmop.*operation 0 \(op0\)"):
        hbm.simulate(system(), hbm.side_by_side({"a": reads(), "b": huge}))


# ---- what a user gets ----


def test_a_cap_is_kept_and_used_up() -> None:
    quota = hbm.Quota(cap_share=0.25)
    row = rows(hbm.simulate(system(bulk=quota), hbm.side_by_side({"bulk": reads(4 * MIB)})))["bulk"]
    assert 0.235 < row["fraction_of_peak"] < 0.2505
    assert row["capped_ns_mean"] == pytest.approx(row["gate_ns_mean"], rel=0.02) and row["capped_ns_mean"] > 1


@pytest.mark.parametrize(("cap", "slack_ns", "queue_share"), [(0.3, 100.0, 1.0), (0.1, 0.0, 0.1), (0.5, 1000.0, 0.25)])
@pytest.mark.parametrize("kind", [reads, writes])
def test_a_cap_holds_in_every_stretch_of_the_command_log(
    kind: Any, cap: float, slack_ns: float, queue_share: float
) -> None:
    mine = system(slack_ns, bulk=hbm.Quota(cap_share=cap, queue_share=queue_share))
    both = hbm.side_by_side({"decode": reads(MIB // 8), "bulk": kind(MIB // 8)})
    log = hbm.simulate(mine, both, command_log=True).command_log
    assert log is not None
    shift = both.shifts_bytes()[1]
    names = ("stack", "channel", "pseudo_channel", "sid", "bank_group", "bank", "row", "column")
    bulk = set(map(tuple, AddressMap(mine).decode(np.arange(shift, shift + MIB // 8, 32)).tolist()))
    moved = log[np.isin(log["command"], list(COLUMN_COMMANDS))]
    of_bulk = np.array([place in bulk for place in zip(*(moved[name].tolist() for name in names), strict=True)])
    assert of_bulk.sum() == MIB // 8 // 32
    ticks = mine.device.ticks()
    controller = mine.controller
    queue = controller.read_queue if kind is reads else controller.write_queue
    for pseudo_channel in (0, 1):
        at = moved["tick"][of_bulk & (moved["pseudo_channel"] == pseudo_channel)]
        # bursts from the i-th to the j-th, less the share of that time: no more than the slack and the queue allow
        beyond = np.arange(len(at)) - cap * at / ticks["BL"]
        most = (beyond - np.minimum.accumulate(beyond)).max()
        assert most <= cap * mine.quota_slack_ticks / ticks["BL"] + max(1, int(queue_share * queue)) + 1e-9
        assert len(at) * ticks["BL"] > 0.7 * cap * (at[-1] - at[0])  # and not much less than the cap


def test_a_reserved_share_is_given_beside_a_program_of_higher_priority() -> None:
    quotas = {"a": hbm.Quota(reserved_share=0.3), "b": hbm.Quota(priority=1)}
    programs = hbm.side_by_side({"a": reads(MIB), "b": reads(MIB)}, background="b")
    row = rows(hbm.simulate(system(slack_ns=20, **quotas), programs))["a"]
    assert row["fraction_of_peak"] == pytest.approx(0.3, rel=0.05)


def test_a_background_that_starves_the_others_is_told_and_does_not_run_for_ever() -> None:
    quotas = {"a": hbm.Quota(), "b": hbm.Quota(priority=1)}
    programs = hbm.side_by_side({"a": reads(MIB), "b": reads(4096, n=64)}, background="b")
    with pytest.raises(HbmPolicyError, match="class a got nothing of the memory.*give it a reserved_share"):
        hbm.simulate(system(**quotas), programs)


def test_priority_gives_what_a_program_would_have_alone() -> None:
    alone = rows(hbm.simulate(system(), hbm.side_by_side({"a": reads()})))["a"]
    quotas = {"a": hbm.Quota(priority=1), "b": hbm.Quota(queue_share=0.25)}
    both = hbm.side_by_side({"a": reads(), "b": reads(4 * MIB)})
    beside = rows(hbm.simulate(system(**quotas), both))["a"]
    shared = rows(hbm.simulate(system(), both))["a"]
    assert beside["bandwidth_gb_per_s"] > 0.9 * alone["bandwidth_gb_per_s"]
    assert shared["bandwidth_gb_per_s"] < 0.6 * alone["bandwidth_gb_per_s"]


def test_a_class_of_writes_leaves_the_queue_to_others() -> None:
    both = hbm.side_by_side({"a": writes(MIB // 4), "b": writes(4 * MIB)})
    row = {
        share: rows(hbm.simulate(system(b=hbm.Quota(queue_share=share)), both))["a"]["gate_ns_mean"]
        for share in (1.0, 0.25)
    }
    assert row[0.25] < row[1.0]


def test_writes_of_a_class_with_few_entries_are_drained_beside_reads_without_pause() -> None:
    both = hbm.side_by_side({"a": reads(4 * MIB), "b": writes(MIB, n=4)}, background="b")
    row = rows(hbm.simulate(system(b=hbm.Quota(queue_share=0.1)), both))["b"]
    assert row["fraction_of_peak"] > 0.05


def test_a_background_is_repeated_until_the_others_have_ended() -> None:
    both = hbm.side_by_side({"a": reads(4 * MIB), "b": writes(MIB // 8, n=2)}, background=["b"])
    result = hbm.simulate(system(), both)
    table = result.operations
    mine = table["traffic_class"] == "b"
    passes = table["index"][mine].tolist()
    assert len(passes) > 6 and passes[:6] == [0, 1, 0, 1, 0, 1]
    end = table["end_ns"][~mine].max()
    assert table["start_ns"][mine].max() <= end < table["end_ns"][mine].max() + 1000
    assert result.trace["background"] == ["b"]


def test_a_background_that_moves_nothing_is_refused() -> None:
    nothing = hbm.Trace.from_operations([cases.operation(0)])
    with pytest.raises(HbmArgumentError, match="b: no operation moves any data; nothing to repeat"):
        hbm.simulate(system(), hbm.side_by_side({"a": reads(), "b": nothing}, background="b"))


@pytest.mark.parametrize("gate", [False, True])
def test_classes_add_up_to_the_run(gate: bool) -> None:
    quotas = {"a": hbm.Quota(priority=1), "b": hbm.Quota(cap_share=0.5)} if gate else {}
    both = hbm.side_by_side({"a": reads(MIB, n=3), "b": writes(MIB // 2, n=3)}, background="b")
    result = hbm.simulate(system(**quotas), both)
    s, classes, table = result.summary, rows(result), result.operations
    assert sum(row["bytes_read"] for row in classes.values()) == s["bytes_read"]
    assert sum(row["bytes_written"] for row in classes.values()) == s["bytes_written"]
    assert sum(row["operations"] for row in classes.values()) == len(table)
    for name, row in classes.items():
        mine = table["traffic_class"] == name
        assert row["bytes_read"] == table["bytes_read"][mine].sum()
        assert row["bytes_written"] == table["bytes_written"][mine].sum()
    assert classes["a"]["read_latency_ns_max"] == s["read_latency_ns_max"]
    assert classes["a"]["read_latency_ns_mean"] == pytest.approx(s["read_latency_ns_mean"])
    for name in PERCENTILES:
        assert classes["a"][name] == s[name] > 0.0 == classes["b"][name]
    assert (classes["b"]["gate_ns_mean"] > 0) == gate


@pytest.mark.parametrize("gate", [False, True])
def test_percentiles_of_a_class_are_those_of_its_own_reads(gate: bool) -> None:
    quotas = {"a": hbm.Quota(priority=1), "b": hbm.Quota()} if gate else {}
    both = hbm.side_by_side({"a": reads(MIB // 4), "b": reads(MIB)})
    ran = replay_of(system(**quotas), both).run()
    result = hbm.Result.from_raw(system(**quotas), ran.information, ran.raw, {})
    edges, tick_ns = ran.raw["histogram_edges"], float(system().tick_ps) / 1000
    for counts, (name, row) in zip(ran.raw["traffic_histograms"], rows(result).items(), strict=True):
        latencies_ns = np.repeat((edges[:-1] + edges[1:] - 1) / 2 * tick_ns, counts.astype(np.int64))
        assert len(latencies_ns) * 32 == row["bytes_read"], name
        for column, share in zip(PERCENTILES, (0.5, 0.99, 0.999), strict=True):
            ranked = np.quantile(latencies_ns, share, method="inverted_cdf")
            assert row[column] == pytest.approx(min(ranked, row["read_latency_ns_max"])), (name, column)
    assert rows(result)["a"] != rows(result)["b"]


def test_priority_shortens_the_tail_of_a_class() -> None:
    both = hbm.side_by_side({"a": reads(MIB // 4, n=2), "b": reads(MIB)}, background="b")
    plain = rows(hbm.simulate(system(a=hbm.Quota(), b=hbm.Quota()), both))["a"]
    first = rows(hbm.simulate(system(a=hbm.Quota(priority=1), b=hbm.Quota(queue_share=0.25)), both))["a"]
    assert first["read_latency_ns_p99"] < 0.8 * plain["read_latency_ns_p99"]


def test_a_core_whose_classes_do_not_add_up_is_told() -> None:
    ran = replay_of(system(), hbm.side_by_side({"a": reads(), "b": reads()})).run()
    ran.raw["traffic_histograms"][1, 100] += 1
    with pytest.raises(HbmInternalError, match="do not add up to that of all reads"):
        hbm.Result.from_raw(system(), ran.information, ran.raw, {})


def test_programs_lie_apart_and_the_first_where_it_says() -> None:
    trace = hbm.side_by_side({"a": reads(3 * MIB), "b": reads(100), "c": cases.trace_of([cases.reads(5 * MIB, 64)])})
    assert trace.shifts_bytes() == [0, 4 * MIB, 2 * MIB]
    assert [o.accesses[0].base_address for o in trace.operations()] == [0, 4 * MIB, 7 * MIB]


def test_what_a_program_does_beside_nothing_is_what_it_does() -> None:
    trace = cases.trace_of([cases.reads(0, MIB)], [cases.writes(0, MIB)], [cases.reads(MIB, MIB)])
    plain, beside = hbm.simulate(system(), trace), hbm.simulate(system(), hbm.side_by_side({"a": trace}))
    assert plain.summary == beside.summary
    for name in plain.operations.names:
        assert np.array_equal(plain.operations[name], beside.operations[name]), name


def test_a_result_with_classes_is_saved_and_read(tmp_path: Path) -> None:
    both = hbm.side_by_side({"a": reads(), "b": writes()}, background="b")
    result = hbm.simulate(system(a=hbm.Quota(reserved_share=0.5), b=hbm.Quota(cap_share=0.3)), both)
    read = hbm.Result.load(result.save(tmp_path / "run"))
    assert read.traffic_classes == result.traffic_classes and read.operations == result.operations
    assert read.system.controller == result.system.controller
    assert read.system.content_hash() == result.system.content_hash()
    hbm.simulate(system(), reads()).save(tmp_path / "run")
    assert not (tmp_path / "run" / "traffic_classes.parquet").exists()


def test_the_long_table_has_every_number_of_every_class() -> None:
    result = hbm.simulate(system(), hbm.side_by_side({"w": reads(), "b.ns": writes()}))
    found = {row["metric"]: (row["value"], row["unit"]) for row in result.long().rows() if row["stack"] is None}
    for name, row in rows(result).items():
        for column in (*PERCENTILES, "bytes_read", "operations", "priority"):
            unit = "ns" if column in PERCENTILES else "B" if column == "bytes_read" else "1"
            assert found[f"class_{name}_{column}"] == (row[column], unit)


def test_a_result_saved_before_there_were_percentiles_of_classes_is_read(tmp_path: Path) -> None:
    result = hbm.simulate(system(), hbm.side_by_side({"a": reads(), "b": writes()}))
    old = Table({name: result.traffic_classes[name] for name in result.traffic_classes if name not in PERCENTILES})
    read = hbm.Result.load(replace(result, traffic_classes=old).save(tmp_path / "old"))
    assert read.traffic_classes.names == result.traffic_classes.names
    for name in read.traffic_classes:
        values = read.traffic_classes[name]
        assert np.isnan(values).all() if name in PERCENTILES else np.array_equal(values, old[name])
    assert hbm.Result.load(read.save(tmp_path / "again")).traffic_classes == read.traffic_classes
    text = read.report(tmp_path / "report.txt").read_text()
    of_a = next(line for line in text.splitlines() if line.startswith("of a "))
    assert of_a.count(" -") == len(PERCENTILES) and "nan" not in text
    tail = [row for row in read.long().rows() if row["metric"] == "class_a_read_latency_ns_p99"]
    assert [(row["value"], row["unit"]) for row in tail] == [(None, "ns")]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("read_latency_ns_p99", "x", "'read_latency_ns_p99' does not hold numbers"),
        ("read_latency_ns_p99", -1.0, "'read_latency_ns_p99' holds values below 0"),
        ("read_latency_ns_mean", float("nan"), "'read_latency_ns_mean' holds values that are not finite"),
        ("gate_ns_mean", None, "traffic_classes.parquet has no column 'gate_ns_mean'"),
    ],
)
def test_a_table_of_classes_that_no_run_has_is_refused(tmp_path: Path, column: str, value: Any, message: str) -> None:
    result = hbm.simulate(system(), hbm.side_by_side({"a": reads(4096)}))
    columns = dict(result.traffic_classes)
    columns[column] = [value]
    bad = Table({name: values for name, values in columns.items() if values[0] is not None})
    with pytest.raises(HbmArgumentError, match=message):
        hbm.Result.load(replace(result, traffic_classes=bad).save(tmp_path / "run"))


def test_quotas_are_part_of_what_influences_a_result() -> None:
    plain = system()
    assert plain.content_hash() == cases.small(channels=1).content_hash()
    one, other = system(a=hbm.Quota(priority=1)), system(a=hbm.Quota(priority=2))
    assert len({plain.content_hash(), one.content_hash(), other.content_hash()}) == 3
    assert replace(one.controller) == one.controller and hash(one.controller) == hash(other.controller)


def test_a_program_keeps_to_its_part_of_the_operations_in_flight() -> None:
    trace = reads(64, n=100)
    loop = Loop("a", 0, trace.operations, most_in_flight=21)
    begun = []
    while (found := loop.next()) is not None:
        begun.append(found[0])
        loop.start(found[0])
    assert begun == list(range(21))
    loop.end(7)
    assert (found := loop.next()) is not None and found[0] == 21
    assert not loop.has_ended()


def test_many_operations_in_flight_of_programs_side_by_side_all_end() -> None:
    both = hbm.side_by_side({"a": reads(4096, n=300), "b": writes(64, n=300), "c": reads(64 * 1024, n=40)})
    result = hbm.simulate(system(), both)
    assert [row["operations"] for row in result.traffic_classes.rows()] == [300, 300, 40]
    starts = result.operations["start_ns"]
    for name in "abc":
        mine = result.operations["traffic_class"] == name
        assert sorted(result.operations["index"][mine].tolist()) == list(range(int(mine.sum())))
    assert (result.operations["end_ns"] > starts).all()


class StopsLater(Stop):
    """Asked to stop at the n-th look."""

    def __init__(self, n: int) -> None:
        self.looks = n

    @property
    def asked(self) -> bool:  # type: ignore[override]
        self.looks -= 1
        return self.looks < 0


def test_an_interrupted_run_keeps_what_has_begun_and_says_what_is_left() -> None:
    both = hbm.side_by_side({"a": reads(4096, n=200), "b": writes(4096, n=8)}, background="b")
    ran = replace(replay_of(system(), both), stop=StopsLater(20)).run()
    assert ran.interrupted is not None
    classes = ran.raw["operations"]["traffic_class"]
    begun = int((classes == "a").sum())
    assert 0 < begun < 200
    moved = int(ran.raw["operations"]["bytes_read"].sum() + ran.raw["operations"]["bytes_written"].sum())
    assert ran.interrupted["share_of_bytes"] == pytest.approx(moved / (moved + (200 - begun) * 4096))


@pytest.mark.parametrize(
    "options", [{"thermal": "coupled", "thermal_epoch_ns": 500.0}, {"l2": MIB}, {"order": "stream"}]
)
def test_quotas_go_with_every_way_to_run(options: dict[str, Any]) -> None:
    quotas = {"a": hbm.Quota(priority=1), "b": hbm.Quota(cap_share=0.3)}
    both = hbm.side_by_side({"a": reads(MIB, n=2), "b": writes(MIB)}, background="b")
    described = hbm.System(hbm.device("HBM4_8000"), controller=hbm.Controller(quotas=quotas))
    result = hbm.simulate(described, both, **options)
    assert [row["operations"] > 0 for row in result.traffic_classes.rows()] == [True, True]


def test_a_log_of_programs_with_quotas_obeys_the_standard() -> None:
    quotas = {"a": hbm.Quota(reserved_share=0.5), "b": hbm.Quota(cap_share=0.3, queue_share=0.2)}
    described = system(**quotas)
    both = hbm.side_by_side({"a": reads(MIB), "b": writes(MIB)}, background="b")
    assert hbm.check(described, hbm.simulate(described, both, command_log=True).command_log) == []
