"""What coolant temperature does to the bandwidth of a decode step: makes sustained_bandwidth.md and its picture.

Run it as ``python docs/studies/sustained_bandwidth.py``: about ten minutes on two cores; it needs matplotlib.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import hbmmodel as hbm

HERE = Path(__file__).parent
COOLANTS_C = (20, 40, 60, 65, 75, 82, 90)
STACKS = (("HBM3E_8000", "24Gb_12H"), ("HBM4_8000", "24Gb_16H"))


def rows_of(name: str, variant: str) -> list[dict[str, Any]]:
    """A row per coolant temperature."""
    trace = hbm.read_trace(hbm.demo_capture())
    device = hbm.device(name, variant)
    burst = hbm.simulate(hbm.System(device, stacks=8), trace).summary["bandwidth_gb_per_s"]
    rows = []
    for coolant_c in COOLANTS_C:
        system = hbm.System(device, stacks=8, cooling=hbm.Cooling(coolant_c=float(coolant_c)))
        result = hbm.simulate(system, trace, thermal="steady")
        s, model = result.summary, result.thermal_model
        rows.append({"coolant_c": coolant_c, "burst": burst, "path": model["path"], "outcome": model["outcome"], **s})
        print(name, coolant_c, model["text"], s["sustained_gb_per_s"], s["temperature_c_max"], flush=True)
    return rows


def picture(found: dict[str, list[dict[str, Any]]]) -> None:
    """Bandwidth above, temperature below."""
    figure, (above, below) = plt.subplots(2, 1, sharex=True, figsize=(8, 7), layout="constrained")
    for label, rows in found.items():
        x = [row["coolant_c"] for row in rows]
        (line,) = above.plot(x, [row["sustained_gb_per_s"] / 1000 for row in rows], "o-", label=f"{label}, sustained")
        above.axhline(rows[0]["burst"] / 1000, color=line.get_color(), ls=":", label=f"{label}, burst")
        below.plot(x, [row["temperature_c_max"] for row in rows], "o-", color=line.get_color(), label=label)
    for at_c, text in ((85, "refresh 2x"), (95, "refresh 4x"), (105, "throttle"), (120, "CATTRIP")):
        below.axhline(at_c, color="0.6", lw=0.8)
        below.text(COOLANTS_C[0], at_c + 0.7, text, color="0.4", fontsize=8)
    above.set(ylabel="bandwidth of 8 stacks [TB/s]", ylim=(0, None), title="Llama-3.1-8B, one decoded token, repeated")
    below.set(xlabel="coolant [deg C]", ylabel="hottest cell [deg C]")
    above.legend()
    below.legend(loc="lower right")
    figure.savefig(HERE / "sustained_bandwidth.png", dpi=120)


def page(found: dict[str, list[dict[str, Any]]]) -> str:
    """The page, all numbers from the rows."""
    lines = [
        "# Sustained against burst bandwidth",
        "",
        "One decoded token of Llama-3.1-8B (batch 1, 8,192 tokens of context, 18.26 GB), repeated for ever on eight",
        "stacks, cooled through the lid with 20,000 W/(m2 K), against the temperature of the coolant. *Burst* is the",
        "bandwidth of one repetition on cold stacks, *sustained* that of the state in which nothing changes any more",
        '(`thermal="steady"`). Cooling, energies and the throttle of the host at 105 degC (half the peak) are',
        "estimates ([thermal_loop](../model/thermal_loop.md)); the point of the page is the mechanism.",
        "Made by `python docs/studies/sustained_bandwidth.py`.",
        "",
        "The taller stack is hotter at its base for the same coolant, and loses more at 4x: its pseudo-channels have",
        "four SIDs to refresh instead of three. Where both 2x and 4x are named some stacks hold one, some the other.",
        "",
        "![Bandwidth and temperature against coolant temperature](sustained_bandwidth.png)",
        "",
    ]
    for label, rows in found.items():
        lines += [
            f"## {label}",
            f"Burst {rows[0]['burst'] / 1000:.2f} TB/s.",
            "",
            "| coolant | sustained | of burst | hottest cell | W per stack | pJ/bit | throttled | what happens |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for row in rows:
            end = {"oscillates": ", and back", "cattrip": "; CATTRIP", "runaway": "; runaway"}.get(row["outcome"], "")
            happens = " → ".join(row["path"]) + end
            lines.append(
                f"| {row['coolant_c']} degC | {row['sustained_gb_per_s'] / 1000:.2f} TB/s "
                f"| {row['sustained_gb_per_s'] / row['burst']:.1%} | {row['temperature_c_max']:.1f} degC "
                f"| {row['power_w_mean'] / 8:.1f} | {row['energy_pj_per_bit']:.2f} | {row['throttled_fraction']:.0%} "
                f"| {happens} |"
            )
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Compute, draw, write."""
    found = {f"{name} {variant}": rows_of(name, variant) for name, variant in STACKS}
    picture(found)
    (HERE / "sustained_bandwidth.md").write_text(page(found), encoding="utf-8")


if __name__ == "__main__":
    main()
