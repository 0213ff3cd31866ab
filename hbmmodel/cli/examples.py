"""Examples of every command, shown at the end of its help.

Owns the table alone; that each example is a command that exists, with options that exist, is a test's to say.
"""

from __future__ import annotations

__all__ = ["EXAMPLES", "epilog"]

EXAMPLES: dict[str, tuple[str, ...]] = {
    "devices": ("devices", "devices --json"),
    "devices show": ("devices show HBM4_8000", "devices show HBM4_8000 --variant 24Gb_12H --sources"),
    "systems": ("systems", "systems --json"),
    "systems show": ("systems show b300",),
    "energy": ("energy",),
    "energy show": ("energy show HBM4_RECOMMENDED",),
    "thermal": ("thermal", "thermal HBM4_12H --power BASE=8 --power DRAM=1.5"),
    "workload": ("workload", "workload show deepseek-v3"),
    "workload show": ("workload show llama-3.1-70b --json",),
    "bandwidth": ("bandwidth --stacks 8 -o bandwidth.json", "bandwidth --system b300 --size 65536"),
    "serve": (
        "serve conversation.jsonl --model llama-3.1-70b --system h200 --tensor-parallel 4 -o served/",
        "serve poisson:requests=1000,per_second=2.5 --model llama-3.1-8b --system h200",
    ),
    "run": (
        "run --demo -o run/",
        "run step.hbmop.zst --system rubin --thermal steady -o run/",
        "run workload:decode,model=llama-3.1-70b,batch=16,tensor_parallel=8 --stacks 8",
        "run t.trace --request-bytes 64 --device HBM3E_9600 --set cap=8 --set tRCDRD_ns=14",
        "run --demo --command-log-window 20us:21us -o run/",
        "run decode.hbmop.gz --as decode --background copy=copy.hbmop.gz --quota decode:reserved=0.6,priority=1",
    ),
    "info": ("info step.hbmop.zst", "info run/", "info run/ --table long -o run.parquet", "info --keys"),
    "report": ("report run/", "report run/ -o report.html"),
    "compare": (
        "run --demo -o hbm4/",
        "run --demo --device HBM3E_8000 -o hbm3e/",
        "compare hbm3e/ hbm4/ -o compare.md",
    ),
    "sweep": ("sweep step.hbmop.zst --axis read_queue=16,32,64 --axis tFAW_ns=12,16 -j 2 -o study/",),
    "curve": (
        "curve HBM4_8000 -o curve.png",
        "curve HBM3E_9200 --pattern random --read-share 100 -o curve.csv",
    ),
    "roofline": (
        "roofline HBM4_8000 --stacks 8 --flops-per-s 2.25e15 -o roofline.png",
        "roofline run/ --flops-per-s 2.25e15",
    ),
    "perfetto": (
        "perfetto run/ -o cmds.perfetto-trace",
        "perfetto run/ --window 20us:20.5us --stack 0 --channel 3 -o small.perfetto-trace",
    ),
    "vcd": ("vcd run/ --window 20us:22us --stack 0 --channel 3 -o cmds.vcd",),
    "capture": ("capture --list", "capture --model llama-3.1-70b --mode decode --batch 16 -o step.hbmop.zst"),
    "convert": (
        "convert step.hbmop.zst step.stl",
        "convert run.kineto.json.gz --with run.et.json.gz -o run.hbmop.zst",
    ),
    "check": ("check run/", "check log.csv --device HBM4_8000 --refresh none"),
    "explain": ("explain 0x12345678 --device HBM4_8000",),
    "validate ramulator": ("validate ramulator recorded/",),
    "validate drampower": ("validate drampower traces.json",),
    "validate thermal": ("validate thermal stack.json",),
    "doctor": ("doctor", "doctor --json"),
    "completion": (
        'eval "$(hbmmodel completion bash)"',
        "completion zsh > ~/.zfunc/_hbmmodel",
        "completion fish > ~/.config/fish/completions/hbmmodel.fish",
    ),
}
"""Command, with its subcommand, to what follows ``hbmmodel``; a line with a quote is a line of the shell."""


def epilog(name: str) -> str | None:
    """The end of a command's help.

    Examples
    --------
    >>> epilog("explain").splitlines()[-1]
    '  hbmmodel explain 0x12345678 --device HBM4_8000'
    """
    lines = [line if '"' in line else f"hbmmodel {line}" for line in EXAMPLES.get(name, ())]
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines) if lines else None
