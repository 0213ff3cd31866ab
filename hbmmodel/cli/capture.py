"""``hbmmodel capture``: one step of a full-size language model, without weights and without a GPU."""

from __future__ import annotations

import click

from hbmmodel.cli.common import echo_json, json_option, quiet_option, say

__all__ = ["command"]


@click.command("capture")
@click.option("--model", default=None, metavar="NAME", help="Which model; --list shows them.")
@click.option(
    "--mode",
    type=click.Choice(["decode", "prefill", "train"]),
    default="decode",
    show_default=True,
    help="One token per sequence, prompts, or a training step.",
)
@click.option("--batch", type=int, default=1, show_default=True, metavar="N", help="Sequences.")
@click.option("--context", type=int, default=8192, show_default=True, metavar="N", help="Tokens of each.")
@click.option(
    "--dtype",
    type=click.Choice(["bf16", "f16", "f32"]),
    default="bf16",
    show_default=True,
    help="Of all tensors with fractions.",
)
@click.option(
    "--layers", type=int, default=None, metavar="N", help="Another number of layers [default: the model's]."
)
@click.option(
    "-o", "--output", default=None, metavar="FILE", help="The capture, as in step.hbmop.zst (.gz, .zst, or plain)."
)
@click.option("--list", "list_models", is_flag=True, help="List the models.")
@quiet_option
@json_option
def command(
    model: str | None,
    mode: str,
    batch: int,
    context: int,
    dtype: str,
    layers: int | None,
    output: str | None,
    list_models: bool,
    as_json: bool,
) -> None:
    """Capture a step of a full-size model on fake tensors: its real code and shapes, no weights, no GPU.

    Needs PyTorch and transformers: pip install 'hbmmodel[capture]'. To capture a program of your own, use
    hbmmodel.capture in it.
    """
    from hbmmodel.trace.capture.models import captured_model, captured_models

    if list_models:
        models = [captured_model(name) for name in captured_models()]
        if as_json:
            echo_json([{"name": one.name, "parameters": one.parameters, "config": one.config} for one in models])
        else:
            for one in models:
                click.echo(f"{one.name:<16} {one.parameters:>16,} parameters")
        return
    if model is None or output is None:
        raise click.UsageError("give --model NAME and -o FILE, or --list")
    from hbmmodel.trace.capture.fake import capture_model

    made = capture_model(output, model, mode, batch=batch, context=context, dtype=dtype, layers=layers)
    if as_json:
        echo_json(made)
    else:
        say(
            f"{made['path']}: {made['operations']} operations of {made['model']} "
            f"({made['parameters']:,} parameters), {made['file_bytes']:,} bytes"
        )
