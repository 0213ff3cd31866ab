"""``hbmmodel workload``: which workloads can be named in place of a trace, and which models there are."""

from __future__ import annotations

import inspect
from typing import Any

import click

from hbmmodel.cli.common import echo_json, json_option, listing_group

__all__ = ["command"]


def _list(as_json: bool) -> None:
    from hbmmodel.report.content import Grid
    from hbmmodel.report.text import render_grid
    from hbmmodel.workload.configs import model, models
    from hbmmodel.workload.spec import GENERATORS

    generators = {
        name: {
            argument: None if p.default is inspect.Parameter.empty else p.default
            for argument, p in inspect.signature(function).parameters.items()
        }
        for name, function in GENERATORS.items()
    }
    found = [model(name) for name in models()]
    if as_json:
        facts = ("parameters", "active_parameters", "weight_bytes", "kv_bytes_per_token")
        echo_json(
            {
                "generators": generators,
                "models": [{"name": m.name, **{fact: getattr(m, fact) for fact in facts}} for m in found],
            }
        )
        return
    for name, arguments in generators.items():
        told = [a if default is None else f"{a}={_text(default)}" for a, default in arguments.items()]
        click.echo(f"workload:{name},{','.join(told)}")
    click.echo()
    rows = tuple(
        (
            m.name,
            f"{m.parameters / 1e9:.2f}",
            f"{m.active_parameters / 1e9:.2f}",
            f"{m.weight_bytes / 1e9:.2f}",
            f"{m.kv_bytes_per_token}",
        )
        for m in found
    )
    header = ("model", "parameters, 10^9", "of a token", "weights, GB", "KV bytes per token")
    click.echo("\n".join(render_grid(Grid(header, rows))))


command = listing_group(
    "workload",
    text="List the workloads and models that need no trace, or show a model. A workload stands where a trace stands: "
    "hbmmodel run workload:decode,model=llama-3.1-70b,batch=16,tensor_parallel=8",
    list_text="List the workloads and models.",
    show=_list,
)


@command.command("show")
@click.argument("name", metavar="MODEL")
@json_option
def show_command(name: str, as_json: bool) -> None:
    """Show a model, or a .toml file: dimensions, parameters by kind of tensor, bytes, sources."""
    from hbmmodel.workload.configs import model, model_file

    found, file = model(name), model_file(name)
    counts = found.parameter_counts()
    shown: dict[str, Any] = {
        **found.to_dict(),
        "parameters": found.parameters,
        "active_parameters": found.active_parameters,
        "weight_bytes": found.weight_bytes,
        "kv_bytes_per_token": found.kv_bytes_per_token,
        "source": list(file.source),
        "notes": file.notes,
    }
    if as_json:
        echo_json({**shown, "parameters_by_tensor": counts})
        return
    for key, value in shown.items():
        if isinstance(value, dict):
            value = ", ".join(f"{k} {v}" for k, v in value.items())
        click.echo(f"{key}: {', '.join(value) if isinstance(value, list) else '-' if value in (None, '') else value}")
    click.echo("parameters_by_tensor:")
    for key, count in counts.items():
        click.echo(f"  {key}: {count}")


def _text(default: object) -> str:
    if isinstance(default, tuple):
        return "+".join(map(str, default))
    return str(default).lower() if isinstance(default, bool) else f"{default}"
