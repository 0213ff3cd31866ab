"""What quotas do for the steps of a decode beside a copy: makes quotas.md and its picture.

Run it as ``python docs/studies/quotas.py``: about two minutes on two cores; it needs matplotlib.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import hbmmodel as hbm
from hbmmodel.trace import Access, Operation, OpTrace

HERE = Path(__file__).parent
STEPS = 24
MIB = 1 << 20
COPY_BYTES, CHUNK_BYTES = 64 * MIB, 4 * MIB

DECODE = hbm.workload.decode(
    hbm.workload.model("llama-3.1-8b").replace(layers=1, vocab=8192),
    batch=4, context=4096, tensor_parallel=8, steps=STEPS,
)  # fmt: skip


def copy() -> OpTrace:
    """A copy engine: one chunk after the other is read and written elsewhere."""
    chunks = [
        Operation(
            i, i, "copy", "", 0, 0,
            (
                Access(False, 0, i * CHUNK_BYTES, CHUNK_BYTES),
                Access(True, 1, COPY_BYTES + i * CHUNK_BYTES, CHUNK_BYTES),
            ),
            after_all=True,
        )
        for i in range(COPY_BYTES // CHUNK_BYTES)
    ]  # fmt: skip
    return hbm.Trace.from_operations(chunks, name="copy")


@dataclass(frozen=True)
class Case:
    """A row of the page."""

    name: str
    quotas: dict[str, hbm.Quota] | None
    beside: bool = True


Q = hbm.Quota
CASES = (
    Case("alone", None, beside=False),
    Case("beside the copy, no quotas", None),
    Case("a gate, all alike", {"decode": Q(), "copy": Q()}),
    Case("copy: queue 0.25", {"decode": Q(), "copy": Q(queue_share=0.25)}),
    Case("decode: reserved 0.6", {"decode": Q(reserved_share=0.6), "copy": Q()}),
    Case("decode: priority 1", {"decode": Q(priority=1), "copy": Q()}),
    Case("decode: priority 1; copy: queue 0.25", {"decode": Q(priority=1), "copy": Q(queue_share=0.25)}),
    Case("copy: cap 0.2", {"decode": Q(), "copy": Q(cap_share=0.2)}),
    Case(
        "decode: reserved 0.6, priority 1; copy: cap 0.2, queue 0.25",
        {"decode": Q(reserved_share=0.6, priority=1), "copy": Q(cap_share=0.2, queue_share=0.25)},
    ),
)


def measure(case: Case) -> dict[str, Any]:
    """Step times of the decode, and what the copy got meanwhile."""
    system = hbm.System(hbm.device("HBM4_8000", "24Gb_12H"), controller=hbm.Controller(quotas=case.quotas or {}))
    programs = {"decode": DECODE, "copy": copy()} if case.beside else {"decode": DECODE}
    result = hbm.simulate(system, hbm.side_by_side(programs, background="copy" if case.beside else ()))
    table = result.operations
    of_decode = table["traffic_class"] == "decode"
    phase = table["phase"].astype(str)
    steps = []
    for step in range(STEPS):
        mine = of_decode & (phase == f"decode{step}")
        steps.append(table["end_ns"][mine].max() - table["start_ns"][mine].min())
    end = table["end_ns"][of_decode].max()
    begun, done = table["start_ns"][~of_decode], table["end_ns"][~of_decode]
    inside = np.clip((end - begun) / (done - begun), 0, 1)  # of a chunk in flight at the end, the part before it
    moved = ((table["bytes_read"] + table["bytes_written"])[~of_decode] * inside).sum()
    got = next(row for row in result.traffic_classes.rows() if row["traffic_class"] == "decode")
    row = {
        "name": case.name,
        "steps_us": np.array(steps) / 1000,
        "copy_gb_per_s": moved / end,
        "total_gb_per_s": result.summary["bandwidth_gb_per_s"],
        "latency_ns": got["read_latency_ns_mean"],
        "latency_ns_p99": got["read_latency_ns_p99"],
        "gate_ns": got["gate_ns_mean"] if case.quotas else None,
    }
    print(case.name, np.percentile(row["steps_us"], [50, 99]), row["copy_gb_per_s"], row["latency_ns"], flush=True)
    return row


def picture(rows: list[dict[str, Any]]) -> None:
    """Step times on the left, what the copy got on the right."""
    ratios = {"width_ratios": (3, 2)}
    figure, (left, right) = plt.subplots(1, 2, sharey=True, figsize=(11, 4.8), layout="constrained", **ratios)
    alone = float(np.median(rows[0]["steps_us"]))
    for y, row in enumerate(rows):
        steps = row["steps_us"]
        left.plot(steps, np.full(len(steps), y), "o", ms=5, alpha=0.35, color="tab:blue", mew=0)
        left.plot(np.median(steps), y, "|", ms=16, mew=2, color="black")
    left.axvline(alone, color="0.6", lw=0.8, ls=":")
    left.set(xlabel="time of a decode step [us]; bar: median", xlim=(0, None))
    left.set_yticks(range(len(rows)), [row["name"].replace("; ", ";\n") for row in rows], fontsize=8)
    left.invert_yaxis()
    right.barh(range(len(rows)), [row["copy_gb_per_s"] for row in rows], color="tab:orange")
    right.set(xlabel="the copy meanwhile, reads and writes [GB/s]")
    figure.suptitle("Decode of one layer of Llama-3.1-8B beside a copy, one stack of HBM4_8000", fontsize=11)
    figure.savefig(HERE / "quotas.png", dpi=120)


def page(rows: list[dict[str, Any]]) -> str:
    """The page, all numbers from the rows."""
    by_name = {row["name"]: row for row in rows}

    def median(name: str) -> float:
        return float(np.median(by_name[name]["steps_us"]))

    alone, best, both = median("alone"), rows[-1], by_name["decode: priority 1; copy: queue 0.25"]
    times = {name: f"{median(name) / alone:.2f} x" for name in by_name}
    rate = {name: f"{row['copy_gb_per_s']:.0f} GB/s" for name, row in by_name.items()}
    spread = np.percentile(best["steps_us"], 99) / np.median(best["steps_us"]) - 1
    told = [
        f"""A decode (one layer of Llama-3.1-8B, one of 8 tensor-parallel devices, 4 sequences of 4,096 tokens,
        {STEPS} steps) on one stack of HBM4_8000 24Gb_12H, beside a copy engine that reads {COPY_BYTES // MIB} MiB and
        writes them elsewhere in chunks of {CHUNK_BYTES // MIB} MiB, one after the other, for as long as the decode
        lasts. What [quotas](../model/quotas.md) do for the time of a step, and what the copy pays for it. Compute
        takes no time here, so nothing hides a wait. Made by `python docs/studies/quotas.py`.""",
        """Latency is that of a read from acceptance to its last data, mean and 99 %, the wait at the gate what a burst
        waits before that, mean; both over the decode.""",
        f"""* Without quotas a step takes {times["beside the copy, no quotas"]}: operands of all operations take
        turns, and the copy has two in flight for one or two of the decode. With a gate that treats both classes
        alike it is {times["a gate, all alike"]}: their bursts alternate in the read queue, and the copy has the
        write queue to itself.""",
        f"""* A **reserved share** of 0.6 alone gives {times["decode: reserved 0.6"]}. It is a floor in every
        pseudo-channel for as long as the decode has something to read there; above it both are alike again.""",
        f"""* **Priority** gives {times["decode: priority 1"]}, and the copy what is left. The queues are full of the
        copy's bursts when an operation of the decode begins. With the copy kept to a quarter of the **queues**
        besides it is {times[both["name"]]}, and the copy gets {rate[both["name"]]} in place of
        {rate["decode: priority 1"]}.""",
        f"""* A **cap** of 0.2 leaves the copy {rate["copy: cap 0.2"]}, which is 0.2 of the peak, and the decode
        {times["copy: cap 0.2"]}: it loses that fifth, and the turnarounds of the bus that the copy's writes cost.""",
        f"""* All together: {times[best["name"]]}, 99 % within {spread:.1%} of the median, at {rate[best["name"]]} for
        the copy.""",
        f"""What priority inside the queues could still gain here is below the
        {np.median(best["steps_us"]) / alone - 1:.1%} that are left to the decode alone; the order of service behind
        the gate is therefore that of the controller without quotas.""",
    ]
    setting, meaning, *worth, outlook = [
        textwrap.fill(" ".join(text.split()), 118, subsequent_indent="  " * (text[0] == "*"), break_on_hyphens=False)
        for text in told
    ]
    table = ["| | step, median | 99 % | of alone | decode: latency | 99 % | at the gate | copy |", "|---" * 8 + "|"]
    for row in rows:
        half, most = np.percentile(row["steps_us"], [50, 99])
        gate = "-" if row["gate_ns"] is None else f"{row['gate_ns']:.1f} ns"
        moved = rate[row["name"]] if row["copy_gb_per_s"] else "-"
        table.append(
            f"| {row['name']} | {half:.1f} us | {most:.1f} us | {half / alone:.2f} x | {row['latency_ns']:.0f} ns "
            f"| {row['latency_ns_p99']:.0f} ns | {gate} | {moved} |"
        )
    picture_line = "![Step times and copy bandwidth for each choice of quotas](quotas.png)"
    title = "# Inference beside a bulk job, with quotas and without"
    heading = "## What each of them is worth"
    parts = [title, setting, picture_line, "\n".join(table), meaning, "\n".join([heading, *worth]), outlook]
    return "\n\n".join(parts) + "\n"


def main() -> None:
    """Compute, draw, write."""
    rows = [measure(case) for case in CASES]
    picture(rows)
    (HERE / "quotas.md").write_text(page(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
