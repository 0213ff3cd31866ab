"""`compare`: every difference is a sum of terms, exactly; the first line says whether runs did the same work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from cli_cases import fails, told
from hypothesis import given, settings
from hypothesis import strategies as st

import hbmmodel as hbm
from hbmmodel.errors import HbmArgumentError
from hbmmodel.result import Result
from hbmmodel.result.energy import no_energy
from hbmmodel.study import Term
from hbmmodel.study.terms import exact_terms
from hbmmodel.trace import Access, Operation


def system(name: str = "HBM4_8000", **fields: object) -> hbm.System:
    return hbm.System(hbm.device(name, channels=1), **fields)


def operations(sizes: Sequence[int], names: str = "ab") -> hbm.Trace:
    made = []
    for i, size in enumerate(sizes):
        accesses = (Access(False, 0, i << 20, size), Access(True, 1, (i + 100) << 20, max(32, size // 2)))
        made.append(Operation(i, i, names[i % len(names)], f"phase {i % 3}", 0, 0, accesses))
    return hbm.Trace.from_operations(made, name=f"<{len(sizes)}>")


@pytest.fixture(scope="module")
def runs() -> dict[str, Result]:
    trace = operations([4096, 65536, 20000, 512])
    return {
        "old": hbm.simulate(system("HBM3E_8000"), trace),
        "new": hbm.simulate(system(controller=hbm.Controller(read_queue=16)), trace),
        "paced": hbm.simulate(system(), trace, mode="asap"),
        "less": hbm.simulate(system(), operations([4096, 65536])),
    }


@given(st.lists(st.fractions(), min_size=1, max_size=12), st.randoms())
def test_exact_terms_add_up_to_one_float_in_any_order_and_are_close(parts: list[Fraction], random: object) -> None:
    found = exact_terms(parts)
    whole = sum(found)
    size = sum(abs(part) for part in parts)
    shuffled = list(found)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sum(shuffled) == whole == float(sum(map(Fraction, found)))
    assert abs(Fraction(whole) - sum(parts)) <= size / 2**50
    assert all(abs(Fraction(f) - p) <= size / 2**50 and (p or not f) for f, p in zip(found, parts, strict=True))


def check_sums(parts: Sequence[Term], whole: float) -> None:
    assert sum(part.change for part in parts) == whole == sum(part.change for part in reversed(parts))
    size = sum(part.before + part.after for part in parts)
    for part in parts:
        assert part.change == pytest.approx(part.after - part.before, abs=1e-12 * size)


SYSTEMS = st.builds(
    lambda name, queue, refresh, page: system(
        name, controller=hbm.Controller(read_queue=queue, write_queue=queue, refresh=refresh, page_policy=page)
    ),
    st.sampled_from(["HBM3E_8000", "HBM4_8000", "HBM2E_3200", "HBM3E_9600"]),
    st.sampled_from([8, 64]),
    st.sampled_from(["per_bank", "none"]),
    st.sampled_from(["open", "closed"]),
)
SIZES = st.lists(st.integers(1, 30_000), min_size=1, max_size=6)


@settings(max_examples=30)
@given(SYSTEMS, SYSTEMS, SIZES, st.none() | SIZES)
def test_every_difference_is_exactly_the_sum_of_its_terms(
    one: hbm.System, other: hbm.System, sizes: list[int], more: list[int] | None
) -> None:
    a = hbm.simulate(one, operations(sizes))
    b = hbm.simulate(other, operations(sizes if more is None else more))
    found = hbm.compare([a, b])
    (d,) = found.differences
    times = [float(run.summary["time_ns"] or 0) for run in (a, b)]
    assert d.time_ns == pytest.approx(times[1] - times[0], abs=1e-9 * sum(times))
    for parts in (d.by_cause, d.by_name, d.by_phase):
        check_sums(parts, d.time_ns)
        assert sum(part.before for part in parts) == pytest.approx(times[0])
        assert sum(part.after for part in parts) == pytest.approx(times[1])
        assert sum(part.change for part in parts) == pytest.approx(d.time_ns, abs=1e-9 * sum(times))
    assert d.data_by_amount_ns + d.data_by_rate_ns == next(t.change for t in d.by_cause if t.name == "data")
    assert d.energy_pj is not None
    check_sums(d.by_component, d.energy_pj)
    energies = [float(run.summary["energy_pj"] or 0) for run in (a, b)]
    assert d.energy_pj == pytest.approx(energies[1] - energies[0], abs=1e-9 * sum(energies))
    assert (d.by_operation is not None) == (len(sizes) == len(sizes if more is None else more))
    back = hbm.compare([b, a]).differences[0]
    assert back.data_by_rate_ns == pytest.approx(-d.data_by_rate_ns, abs=1e-9 * sum(times))
    for term in d.by_cause:
        assert next(t for t in back.by_cause if t.name == term.name).before == term.after


def test_a_result_of_a_version_without_energy_is_compared_in_time(runs: dict[str, Result]) -> None:
    written = runs["new"].system.to_dict()
    del written["energy"], written["dbi"], written["controller"]["power"]
    summary = {k: None if "energy" in k or "power" in k else v for k, v in runs["new"].summary.items()}
    system = hbm.System.from_dict(written)
    assert system == runs["new"].system and system.to_dict() == runs["new"].system.to_dict()
    older = replace(runs["new"], system=system, summary=summary, energy=no_energy(), energy_model={})
    found = hbm.compare([older, runs["new"]])
    (difference,) = found.differences
    assert difference.energy_pj is None and difference.by_component == () and difference.time_ns == 0
    assert "HBM4_RECOMMENDED" in found.text() and "nan" not in found.text()
    assert json.dumps(found.to_dict(), allow_nan=False)


def test_an_operation_called_like_the_rest_takes_nothing_from_it() -> None:
    made = [Operation(0, 0, "outside operations", "p", 0, 0, (Access(True, 0, 0, 65536),))]
    run = hbm.simulate(system(), hbm.Trace.from_operations(made, name="<odd>"))
    (term,) = hbm.compare([run, run]).differences[0].by_name
    assert term.before == term.after == run.summary["time_ns"]


def test_the_first_line_says_whether_the_runs_did_the_same_work(runs: dict[str, Result]) -> None:
    def first(*names: str) -> str:
        return hbm.compare({name: runs[name] for name in names}).text(400).splitlines()[0]

    assert first("old", "new").startswith("Like for like")
    assert first("new", "paced").startswith("The same work, replayed in another way by paced")
    assert first("new", "old", "less").startswith("NOT like for like: less did other work than new")
    renamed = replace(runs["new"], trace={**runs["new"].trace, "rewrites": ["kv=paged"]})
    assert hbm.compare([runs["new"], renamed]).differences[0].same_work is False


def test_what_was_changed_is_listed_with_the_values_of_every_run(runs: dict[str, Result]) -> None:
    changes = {c.field: c.values for c in hbm.compare(runs).changes}
    assert changes["system.controller.read_queue"] == (64, 16, 64, 64)
    assert changes["trace.mode"] == ("closed", "closed", "asap", "closed")
    assert changes["device"][0].startswith("HBM3E_8000")
    assert changes["device.tCCDL"] == ("2.5 ns", "2 ns", "2 ns", "2 ns")
    assert "system.stacks" not in changes and "hbmmodel.core_sha256" not in changes
    same = hbm.compare([runs["new"], runs["new"]])
    assert same.changes == () and same.differences[0].time_ns == 0
    assert "Nothing was changed" in same.text()


def test_more_bytes_and_slower_pins_are_told_apart() -> None:
    whole = np.arange(0, 1 << 18, 32)
    reads = np.zeros(len(whole), dtype=bool)
    one = hbm.simulate(system(), hbm.Trace.from_requests(whole, reads))
    half = hbm.simulate(system(), hbm.Trace.from_requests(whole[::2], reads[::2]))
    slow = hbm.simulate(system("HBM4_6400"), hbm.Trace.from_requests(whole, reads))
    amount = hbm.compare([one, half]).differences[0]
    data = next(t for t in amount.by_cause if t.name == "data")
    assert amount.data_by_amount_ns == pytest.approx(-data.before / 2) and amount.data_by_rate_ns == pytest.approx(0)
    rate = hbm.compare([one, slow]).differences[0]
    assert rate.data_by_amount_ns == 0 and rate.data_by_rate_ns == pytest.approx(data.before * (8000 / 6400 - 1))
    assert not rate.by_name and rate.by_operation is None


def test_a_run_without_energy_is_compared_without_it(runs: dict[str, Result]) -> None:
    bare = replace(runs["new"], energy=runs["new"].energy.head(0), summary={**runs["new"].summary, "energy_pj": None})
    found = hbm.compare([runs["old"], bare])
    assert found.differences[0].energy_pj is None and "energy of" not in found.text()
    assert found.to_dict()["figures"][-6]["run 2"] is None


@pytest.mark.parametrize("given", [[], ["one"], 3, "run", [1, 2]])
def test_what_cannot_be_compared_is_refused_in_one_line(given: object) -> None:
    with pytest.raises(HbmArgumentError, match="compare takes"):
        hbm.compare(given)  # type: ignore[arg-type]


def test_the_command_prints_and_writes_what_the_function_finds(
    runs: dict[str, Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("old", "new"):
        runs[name].save(name)
    found = hbm.compare({name: runs[name] for name in ("old", "new")})
    text = told(capsys, "compare", "old", "new/")
    assert text == found.text() and max(map(len, text.splitlines())) <= 100
    assert told(capsys, "compare", "old", "new", "--markdown") == found.markdown()
    content = json.loads(told(capsys, "compare", "old", "new", "--json"))
    assert content == json.loads(json.dumps(found.to_dict()))
    assert sum(t["change"] for t in content["differences"][0]["by_cause"]) == content["differences"][0]["time_ns"]
    for suffix, want in ((".txt", text), (".md", found.markdown())):
        told(capsys, "compare", "old", "new", "-o", f"c{suffix}")
        assert Path(f"c{suffix}").read_text(encoding="utf-8") == want
    told(capsys, "compare", "old", "new", "-o", "c.json")
    assert json.loads(Path("c.json").read_text(encoding="utf-8")) == content
    assert "old" in repr(found) and "|" in found._repr_markdown_()


def test_the_command_refuses_what_it_cannot_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "two or more" in fails(capsys, "compare", str(tmp_path))
    assert "result.json" in fails(capsys, "compare", str(tmp_path), str(tmp_path))
    assert ".txt, .md, .json" in fails(capsys, "compare", "a", "b", "-o", str(tmp_path / "x.pdf"))
    assert "--markdown" in fails(capsys, "compare", "a", "b", "--json", "--markdown")
