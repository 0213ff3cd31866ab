"""``hbmmodel serve``: requests as they arrive, served by a model on simulated memory."""

from __future__ import annotations

from typing import Any

import click

from hbmmodel.cli.common import build_system, echo_json, json_option, quiet_option, say, system_options

__all__ = ["command"]


def _arrivals(name: str) -> Any:
    """A file, or ``poisson:requests=1000,per_second=2.5``."""
    from hbmmodel.serving import poisson, read_arrivals

    if not name.startswith("poisson:"):
        return read_arrivals(name)
    given: dict[str, Any] = {}
    kinds = {"requests": int, "per_second": float, "input_tokens": int, "output_tokens": int, "seed": int}
    for part in name.removeprefix("poisson:").split(","):
        key, _, text = part.partition("=")
        try:
            given[key] = kinds[key](text)
        except (KeyError, ValueError):
            known = ", ".join(kinds)
            raise click.UsageError(f"{part[:80]!r} in poisson: is not ARGUMENT=NUMBER; arguments are {known}") from None
    if missing := [key for key in ("requests", "per_second") if key not in given]:
        raise click.UsageError(f"poisson: needs {missing[0]}, as in poisson:requests=1000,per_second=2.5")
    return poisson(**given)


@click.command("serve")
@click.argument("arrivals", metavar="ARRIVALS")
@click.option("--model", required=True, metavar="NAME", help="A model (see workload), or a model file.")
@system_options()
@click.option("--tensor-parallel", type=int, default=1, metavar="N", help="Devices of a replica [default: 1].")
@click.option("--dtype", default=None, metavar="NAME", help="Number format of the weights [default: the model's].")
@click.option("--kv-dtype", default=None, metavar="NAME", help="Number format of the cache [default: the model's].")
@click.option("--max-batch", type=int, default=256, metavar="N", help="Sequences served at once [default: 256].")
@click.option("--token-budget", type=int, default=2048, metavar="N", help="New tokens of a step [default: 2048].")
@click.option("--block-tokens", type=int, default=16, metavar="N", help="Tokens of a KV block [default: 16].")
@click.option("--kv-tokens", type=int, default=None, metavar="N", help="Room of the cache [default: what is left].")
@click.option("--no-prefix-cache", is_flag=True, help="Do not reuse prefixes.")
@click.option("--points", type=int, default=3, metavar="N", help="Sampled steps along each axis [default: 3].")
@click.option(
    "--peak-tflops", type=float, default=0.0, metavar="X", help="Of one device [default: computing takes no time]."
)
@click.option("--overhead-us", type=float, default=0.0, metavar="US", help="Between steps [default: 0].")
@click.option("--threads", type=click.IntRange(1), default=None, metavar="N", help="Threads [default: all cores].")
@click.option("-o", "--output", default=None, metavar="DIR", help="Save tables (Parquet) and JSON in the new DIR.")
@quiet_option
@json_option
def command(
    arrivals: str,
    model: str,
    tensor_parallel: int,
    dtype: str | None,
    kv_dtype: str | None,
    max_batch: int,
    token_budget: int,
    block_tokens: int,
    kv_tokens: int | None,
    no_prefix_cache: bool,
    points: int,
    peak_tflops: float,
    overhead_us: float,
    threads: int | None,
    output: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Serve requests as they arrive: time to first token, time per token, tokens per second.

    ARRIVALS is a file (Azure LLM, BurstGPT, Mooncake, LLMServingSim) or poisson:requests=1000,per_second=2.5.
    Steps are batched continuously; their times come from simulated steps.
    """
    from hbmmodel.serving import serve
    from hbmmodel.serving.outcome import check_target

    system = build_system(**options)
    if output is not None:
        check_target(output)
    found = serve(
        system, _arrivals(arrivals), model, tensor_parallel=tensor_parallel, dtype=dtype, kv_dtype=kv_dtype,
        max_batch=max_batch, token_budget=token_budget, block_tokens=block_tokens, kv_tokens=kv_tokens,
        prefix_cache=not no_prefix_cache, points=points, peak_tflops=peak_tflops, overhead_s=overhead_us * 1e-6,
        threads=threads,
    )  # fmt: skip
    if output is not None:
        found.save(output)
    if as_json:
        echo_json(found.to_dict())
        return
    for key, value in found.summary.items():
        shown = "-" if value is None else f"{value:.6g}" if isinstance(value, float) else f"{value}"
        say(f"{key:22} {shown}")
    say("\nsteps simulated to see how wrong the interpolation is:")
    for held in found.times.held_out:
        say(f"  {held.step}: {held.simulated_s:.6g} s, interpolated {100 * held.error:+.1f} %")
    if output is not None:
        say(f"\nSaved in {output}")
