"""What several commands share: the options that describe a system, ``--set``, JSON output.

Owns the way from option strings to a `System` and to a trace; must not know results.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from hbmmodel.system import System
    from hbmmodel.trace import OpTrace, RequestTrace
    from hbmmodel.trace.pages import Pages

__all__ = [
    "DEFAULT_DEVICE",
    "build_system",
    "check_writable",
    "device_names",
    "echo_json",
    "json_option",
    "listing_group",
    "open_trace",
    "parse_settings",
    "product_names",
    "quiet_option",
    "read_options",
    "say",
    "system_options",
]

DEFAULT_DEVICE = "HBM4_8000"

F = TypeVar("F", bound=Callable[..., Any])

QUIET = "hbmmodel.quiet"


def _set_quiet(context: click.Context, option: click.Parameter, value: bool) -> None:
    del option
    context.meta[QUIET] = value


quiet_option = click.option(
    "-q", "--quiet", is_flag=True, expose_value=False, callback=_set_quiet, help="Print nothing but errors."
)


def say(text: str) -> None:
    """Print a line for people, unless ``--quiet`` is given."""
    if not click.get_current_context().meta.get(QUIET):
        click.echo(text)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def read_options(function: F) -> F:
    """Add the options that say how a trace is read: the arguments of `open_trace`."""
    other = click.option(
        "--with",
        "with_file",
        default=None,
        metavar="FILE",
        help="The other file of a pair: the execution trace to a Kineto file, or the reverse.",
    )
    phase = click.option(
        "--phase",
        "phases",
        multiple=True,
        metavar="NAME",
        help="Only operations of this phase; may be repeated.",
    )
    clock = click.option(
        "--clock-ns",
        type=float,
        default=None,
        metavar="NS",
        help="Clock of a trace that counts cycles [default: 1].",
    )
    rewrite = click.option(
        "--rewrite",
        "rewrites",
        multiple=True,
        metavar="PASS",
        help="Rewrite a capture, as kv=paged or tensor_parallel=8; may be repeated, in order. "
        "--rewrite list shows all.",
        callback=_list_rewrites,
    )
    pages = click.option(
        "--pages",
        default=None,
        metavar="ORDER",
        help="Where pages of a capture lie: sequential, shuffled, or shuffled:4096 for another page size.",
    )
    return other(phase(clock(rewrite(pages(function)))))


def _list_rewrites(context: click.Context, option: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Show the passes instead of running, if that is asked for."""
    del option
    if value == ("list",):
        from dataclasses import fields

        from hbmmodel.trace.rewrite import PASSES

        for name, made in PASSES.items():
            known = ", ".join(field.name for field in fields(made))
            click.echo(f"{name:<18} {known:<24} {(made.__doc__ or '').splitlines()[0]}")
        context.exit()
    return value


def system_options(
    device_help: str = f"Device preset, or the path of a preset file [default: {DEFAULT_DEVICE}].",
) -> Callable[[F], F]:
    """Add the options that describe a memory system; they arrive as keyword arguments of `build_system`."""
    options = (
        click.option(
            "--system",
            "product",
            default=None,
            metavar="NAME",
            shell_complete=product_names,
            help="Memory of a product, as rubin (see systems).",
        ),
        click.option("--device", default=None, metavar="NAME", shell_complete=device_names, help=device_help),
        click.option("--variant", default=None, metavar="NAME", help="Density and height, e.g. 24Gb_12H."),
        click.option("--stacks", type=int, default=None, metavar="N", help="Stacks [default: 1]."),
        click.option(
            "--mapping", default=None, metavar="MAP", help="Name of an address map, or an expression."
        ),
        click.option("--scheduler", default=None, metavar="NAME", help="frfcfs, frfcfs_cap or fcfs."),
        click.option("--page-policy", default=None, metavar="NAME", help="open, closed or timeout."),
        click.option("--refresh", default=None, metavar="NAME", help="per_bank, all_bank or none."),
        click.option(
            "--read-queue", type=int, default=None, metavar="N", help="Reads queued per pseudo-channel."
        ),
        click.option(
            "--write-queue", type=int, default=None, metavar="N", help="Writes queued per pseudo-channel."
        ),
        click.option(
            "--set",
            "settings",
            multiple=True,
            metavar="KEY=VALUE",
            help="Any other field of the system, the controller or the device, as host_latency_ns=80, cap=8 "
            "or tRCDRD_ns=14. May be repeated.",
        ),
    )

    def add(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def device_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Presets that begin so, for a shell that completes."""
    from hbmmodel.device import devices

    return [name for name in devices() if name.startswith(incomplete)]


def product_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Products that begin so, for a shell that completes."""
    from hbmmodel.products import products

    return [name.lower() for name in products() if name.lower().startswith(incomplete.lower())]


def open_trace(
    name: str,
    *,
    format: str | None = None,
    with_file: str | None = None,
    phases: Sequence[str] = (),
    clock_ns: float | None = None,
    rewrites: Sequence[str] = (),
    pages: str | None = None,
) -> RequestTrace | OpTrace:
    """The trace that an argument names: a file, or ``workload:GENERATOR,ARGUMENT=VALUE,...``.

    Raises
    ------
    click.UsageError
        An option of files is given with a workload, or one of captures with another file.
    HbmError
        The file cannot be read, or the workload not be made.
    """
    if name.startswith("workload:"):
        if any(option is not None for option in (format, with_file, clock_ns, pages)) or rewrites:
            raise click.UsageError(f"{name} is no file; leave out the options that say how files are read")
        from hbmmodel.workload.spec import from_spec

        made = from_spec(name)
        return made.select(tuple(phases)) if phases else made
    from hbmmodel.result.store import is_result
    from hbmmodel.trace import read_trace

    if is_result(Path(name)):
        raise click.UsageError(f"{name} is a saved result, not a trace; look at it with hbmmodel report or info")
    phase = tuple(phases) or None
    trace = read_trace(
        name, format=format, with_=with_file, phase=phase, clock_ns=clock_ns, pages=_pages(pages)
    )
    if rewrites:
        from hbmmodel.trace.records import RecordedTrace
        from hbmmodel.trace.rewrite import parse_all

        passes = parse_all(rewrites)
        if not isinstance(trace, RecordedTrace):
            raise click.UsageError(f"--rewrite changes the operations of a capture; {name} is {trace.format}")
        trace = trace.rewritten(*passes)
    return trace


def _pages(text: str | None) -> Pages | None:
    """``ORDER`` or ``ORDER:BYTES``."""
    if text is None:
        return None
    from hbmmodel.trace.pages import Pages

    order, _, size = text.partition(":")
    if size and not size.isdecimal():
        raise click.UsageError(f"--pages {text!r} is not ORDER or ORDER:BYTES, as in --pages shuffled:4096")
    return Pages(order, int(size[:20])) if size else Pages(order)


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE`` strings to a dict; values are read as int, float, ``none``, ``true``, ``false``, or text.

    Raises
    ------
    click.UsageError
        A string has no ``=``, an empty key, or a key that another one has set.

    Examples
    --------
    >>> parse_settings(["cap=8", "tRCDRD_ns=14.5", "write_high=none", "mapping=row-column"])
    {'cap': 8, 'tRCDRD_ns': 14.5, 'write_high': None, 'mapping': 'row-column'}
    """
    parsed: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        key, text = key.strip(), text.strip()
        if not equals or not key or not text:
            raise click.UsageError(f"--set {setting!r} is not KEY=VALUE, as in --set cap=8")
        if key in parsed:
            raise click.UsageError(f"--set {key} is given twice")
        parsed[key] = _value(text)
    return parsed


def _value(text: str) -> Any:
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    for kind in (lambda t: int(t, 0), float):
        try:
            value = kind(text)
        except ValueError:
            continue
        return value if math.isfinite(value) else text
    return text


def build_system(
    *,
    device: str | None,
    variant: str | None,
    settings: Sequence[str],
    product: str | None = None,
    stacks: int | None = None,
    mapping: str | None = None,
    scheduler: str | None = None,
    page_policy: str | None = None,
    refresh: str | None = None,
    read_queue: int | None = None,
    write_queue: int | None = None,
) -> System:
    """The system that the options describe.

    Raises
    ------
    click.UsageError
        A setting is malformed, or given both as an option and with ``--set``.
    HbmError
        A value is out of range or a name unknown.
    """
    from hbmmodel.device import device as make_device
    from hbmmodel.products import product as make_product
    from hbmmodel.products import product_info
    from hbmmodel.system import Controller, System
    from hbmmodel.vary import settings as settings_of_parts

    options: dict[str, dict[str, Any]] = {
        "controller": {
            "scheduler": scheduler,
            "page_policy": page_policy,
            "refresh": refresh,
            "read_queue": read_queue,
            "write_queue": write_queue,
        },
        "system": {"stacks": stacks, "mapping": mapping},
        "cooling": {},
        "trips": {},
        "device": {},
    }
    chosen = {place: {k: v for k, v in values.items() if v is not None} for place, values in options.items()}
    own = settings_of_parts()
    if product is not None and (device is not None or variant is not None):
        raise click.UsageError("--system names the device; leave out --device and --variant")
    named = product_info(product) if product is not None else None
    device = named.device if named is not None else device
    variant = named.variant if named is not None else variant
    for key, value in parse_settings(settings).items():
        place, _, name = key.rpartition(".")
        if not place:
            place = next((p for p, names in own.items() if name in names), "device")
        if place not in chosen:
            raise click.UsageError(
                f"--set {key}: a key begins with system., controller., cooling., trips., device. or nothing"
            )
        if place in own and name not in own[place]:
            raise click.UsageError(
                f"--set {key}: the {place} has no {name!r}; it has {', '.join(sorted(own[place]))}"
            )
        if place == "device":
            _check_device_setting(key, name, device or DEFAULT_DEVICE, variant, sorted(set().union(*own.values())))
        if name in chosen[place]:
            raise click.UsageError(f"--set {key}: {name} is also given as --{name.replace('_', '-')}")
        chosen[place][name] = value
    made = make_device(device or DEFAULT_DEVICE, variant, **chosen["device"])
    base = System(made) if product is None else make_product(product, device=made)
    cooling = replace(base.cooling, **chosen["cooling"], trips=replace(base.cooling.trips, **chosen["trips"]))
    return replace(base, controller=Controller(**chosen["controller"]), cooling=cooling, **chosen["system"])


def _check_device_setting(key: str, name: str, device: str, variant: str | None, others: Sequence[str]) -> None:
    """Refuse a key that is no field of anything, with the closest of all that are."""
    from hbmmodel.device.build import override_names
    from hbmmodel.shelf import did_you_mean

    known = override_names(device, variant)
    stem = name.removesuffix("_ns").removesuffix("_ck")
    if name in known or f"{stem}_ns" in known or stem in ("tCK", "nBL"):
        return  # known, or the device says better what is wrong: a unit that lacks, a value that follows from others
    hint = did_you_mean(name, [*others, *known])
    own, timing = ", ".join(sorted(others)), ", ".join(k for k in known if k[-3:] != "_ck")
    raise click.UsageError(
        f"--set {key}: no field of the system, the controller or the device is called {name!r}; {hint}"
        f"system, controller, cooling: {own}; device: {timing}"
    )


def check_writable(directory: str) -> None:
    """Refuse a place where no directory can be made, before anything is computed.

    Raises
    ------
    HbmError, OSError
        `directory` must not be overwritten, or cannot be made; the message says what to do.
    """
    import tempfile

    from hbmmodel.errors import HbmArgumentError
    from hbmmodel.result.store import check_target

    target = Path(directory)
    check_target(target)
    try:
        # Some file systems (/proc) claim to be writable; only trying tells.
        with tempfile.TemporaryDirectory(prefix=f".{target.name}.", suffix=".part", dir=target.absolute().parent):
            pass
    except OSError as error:
        raise HbmArgumentError(
            f"{directory} cannot be written: {error.strerror or error}; name another directory with -o"
        ) from None


def listing_group(name: str, *, text: str, list_text: str, show: Callable[[bool], None]) -> click.Group:
    """A group with a subcommand ``list``, which it also does when it is called without a subcommand.

    Parameters
    ----------
    name : str
        Of the command.
    text, list_text : str
        Help of the group and of ``list``.
    show : callable
        Shows the list; is given whether as JSON.
    """

    @click.group(name, invoke_without_command=True, help=text)
    @json_option
    @click.pass_context
    def group(ctx: click.Context, as_json: bool) -> None:
        if ctx.invoked_subcommand is None:
            show(as_json)
        elif as_json:
            raise click.UsageError(f"--json belongs behind the subcommand: hbmmodel {name} list --json", ctx)

    group.command("list", help=list_text)(json_option(show))
    return group


def echo_json(content: Any) -> None:
    """Print JSON with stable order; numpy scalars and exact fractions become numbers."""
    click.echo(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False, default=_plain))


def _plain(value: Any) -> Any:
    from fractions import Fraction

    if isinstance(value, Fraction):
        return int(value) if value.denominator == 1 else float(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")
