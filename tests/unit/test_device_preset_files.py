"""Preset files: the shipped ones are complete; a damaged one gives one line that names file and field."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hbmmodel.device import device, devices, presets
from hbmmodel.device.presets import parse, preset_text, sources
from hbmmodel.errors import HbmDeviceError

FILE = "HBM4_8000.toml"
NAMES = devices()


def damaged(pattern: str, replacement: str, file: str = FILE) -> str:
    """The message for a shipped preset in which one place was changed."""
    text, n = re.subn(pattern, replacement, preset_text(FILE), count=1, flags=re.MULTILINE)
    assert n == 1, f"{pattern!r} is not in {FILE}"
    with pytest.raises(HbmDeviceError) as caught:
        parse(text, file)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message
    return message


def test_every_file_is_a_preset_and_every_preset_has_a_file() -> None:
    folder = resources.files("hbmmodel.device").joinpath("presets")
    assert {item.name for item in folder.iterdir() if item.name.endswith(".toml")} == {
        "sources.toml",
        *(f"{name}.toml" for name in NAMES),
    }
    assert NAMES == list(presets._ORDER), "a shipped preset has its place in the list"


def renamed(name: str) -> str:
    """A shipped preset under another name."""
    return preset_text(FILE).replace('name = "HBM4_8000"', f'name = "{name}"')


def test_a_file_put_into_the_preset_directory_is_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HBM3_6400.toml", FILE, "X_RAMULATOR21_HBM4_8000.toml", "sources.toml"):
        (tmp_path / name).write_text(preset_text(name), encoding="utf-8")
    for name in ("X_ANOTHER", "HBM0_NEW", "HBM9_NEW"):
        (tmp_path / f"{name}.toml").write_text(renamed(name), encoding="utf-8")
    monkeypatch.setattr(presets, "_SHELF", replace(presets._SHELF, folder=tmp_path))
    assert devices() == ["HBM3_6400", "HBM4_8000", "HBM0_NEW", "HBM9_NEW", "X_RAMULATOR21_HBM4_8000", "X_ANOTHER"]
    assert device("HBM9_NEW").name == "HBM9_NEW"


def test_a_preset_file_of_ones_own_is_loaded_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "MINE.toml"
    path.write_text(renamed("MINE").replace('"MED", ', '"PRIVATE", ', 1), encoding="utf-8")
    mine = device(str(path), "24Gb_8H", tFAW_ns=14)
    assert (mine.name, mine.variant, mine.timing["tFAW"].ns) == ("MINE", "24Gb_8H", 14)
    assert mine.timing["tRP"].ck == device("HBM4_8000", "24Gb_8H").timing["tRP"].ck
    path.write_text(renamed("MINE").replace("ns = 29,", "ns = 30,"), encoding="utf-8")  # a file is read every time
    assert device(str(path)).timing["tRAS"].ns == 30


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("none.toml", None, "none.toml: No such file or directory; give the path"),
        ("OTHER.toml", "MINE", "OTHER.toml: name: 'MINE' is not the file's name"),
        ("HBM4_8000.toml", "HBM4_8000", "HBM4_8000.toml: HBM4_8000 is the name of a shipped preset"),
        ("BAD.toml", "\udcff", "BAD.toml: not valid TOML: it is not UTF-8 text"),
    ],
)
def test_a_preset_file_that_cannot_be_is_refused(name: str, text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_bytes(renamed(text).encode("utf-8", "surrogateescape"))
    with pytest.raises(HbmDeviceError, match=re.escape(message)) as caught:
        device(str(path))
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_head_tells_what_is_public_and_what_confidence_means(name: str) -> None:
    text = preset_text(f"{name}.toml")
    head = text[: text.index("schema = 1")]
    assert head.startswith(f"# {name}: ")
    assert "confidence" in head and "sources.toml" in head
    assert name.startswith("X_") or "No JEDEC text was read" in head


def test_every_label_is_cited_with_words_and_none_is_unused_in_presets_or_documentation() -> None:
    assert all(len(citation) > 15 for citation in sources().values())
    everything = "".join(preset_text(f"{name}.toml") for name in NAMES)
    unused = {label for label in sources() if f'"{label}"' not in everything}
    assert unused <= {"RYU", "PARK", "LEE24", "PRIVATE"}, "label of no value"


@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (r"^schema = 1$", "schema = = 1", "not valid TOML"),
        (r"^schema = 1$", "schema = 2", "schema: invalid enum value 2"),
        (r'^name = "HBM4_8000"$', 'name = "HBM4_9000"', "name: 'HBM4_9000' is not the file's name"),
        (r"^data_rate_mbps = .*$", 'data_rate_mbps = "fast"', "data_rate_mbps: expected `int`, got `str`"),
        (r"^data_rate_mbps = .*$", "data_rate_mbps = 0", "data_rate_mbps: 0 is not positive"),
        (r"^data_rate_mbps = .*$", "", "missing required field `data_rate_mbps`"),
        (r"^bits_per_ck = .*$", "bits_per_ck = 3", "bits_per_ck: invalid enum value 3"),
        (r"^default_variant = .*$", 'default_variant = "9Gb"', "default_variant: '9Gb' is not one of 24"),
        (r"^\[rounding\]$", "[roundings]", "unknown field `roundings`"),
        (r'^floor = \["tREFI", ', 'floor = ["tRP", ', "rounding.floor: 'tRP' is not a maximum"),
        (r'^floor = \["tREFI", ', "floor = [", "timing.tREFI: tREFI is a maximum; list it in rounding.floor"),
        (r'^half_ck = \["tRP"', 'half_ck = ["tRPP"', "rounding.half_ck: 'tRPP' is not a timing symbol"),
        (r"^act_ticks = .*$", "act_ticks = 1.5", "command_bus.act_ticks: expected `int`, got `float`"),
        (r"^pre_any_edge = true", "pre_any_edge = 1", "command_bus.pre_any_edge: expected `bool`, got `int`"),
        (r"^banks_per_group = 8$", "banks_per_group = 0", "organisation.banks_per_group: 0 is not positive"),
        (r"^burst_length = 8$", "burst_length = 4", "organisation.burst_bytes: 32 bytes are not dq x"),
        (r"^columns = 32 ", "columns = 64 ", "organisation.page_bytes: 1024 is not columns x burst_bytes"),
        (r"^rows = 12288$", "rows = 16384", "variants.24Gb_8H.rows: 32 GiB from rows and banks are not"),
        (r"^rows = 12288$", "rows = -1", "variants.24Gb_8H.rows: -1 is not positive"),
        (r"^sids = 2$", "sids = 2\nslices = 1", "variants.24Gb_8H: table contains unknown field `slices`"),
        (r"^\[variants.24Gb_8H\]$", "[variants]\nx = 1\n[variants.24Gb_8H]", "variants.x: is not a table"),
        (r"^RL  ( +)= .*$", "RL = 16", "timing.RL: expected `table`, got `int`"),
        (r"^RL  ( +)= .*$", "", "variants.24Gb_8H.RL: is missing"),
        (r"ns = 16, low_ns = 12.5", "ns = -16, low_ns = 12.5", "timing.RL.ns: -16 is negative"),
        (r"ns = 16, low_ns = 12.5", "ns = nan, low_ns = 12.5", "timing.RL.ns: nan is not a finite number"),
        (r"ns = 16, low_ns = 12.5", "ns = inf, low_ns = 12.5", "timing.RL.ns: inf is not a finite number"),
        (r"ns = 16, low_ns = 12.5", 'ns = "16", low_ns = 12.5', "timing.RL.ns: expected `int | float"),
        (r"ns = 16, low_ns = 12.5", "ns = true, low_ns = 12.5", "timing.RL.ns: expected `int | float"),
        (r"ns = 16, low_ns = 12.5", "ps = 16, low_ns = 12.5", "timing.RL: table contains unknown field `ps`"),
        (r"ns = 16, low_ns = 12.5", "ns = 16, low_ns = 19", "timing.RL.low_ns: 19 is above high_ns = 18"),
        (r"ns = 16, low_ns = 12.5", "ns = 16, low_ns = -1", "timing.RL.low_ns: -1 is negative"),
        (r'^RL  ( +)= { unit = "ns"', 'RL = { unit = "ps"', "timing.RL.unit: invalid enum value 'ps'"),
        (r'^RL  ( +)= { unit = "ns"', 'RL = { unit = "nCK"', "timing.RL: unit 'nCK' wants nck (or a rule)"),
        (r'^RL  ( +)= { unit = "ns", ns = 16', 'RL = { unit = "ns"', "timing.RL: unit 'ns' wants ns"),
        (r'^(tRREFD .*) nck = 3,', r"\1", "timing.tRREFD: unit 'max(nCK, ns)' wants nck and ns"),
        (r'^(tRREFD .*) nck = 3,', r"\1 nck = 3.5,", "timing.tRREFD.nck: expected `int | null`, got `float`"),
        (r"low_nck = 3,", "low_nck = -3,", "timing.tCCDR.low_nck: -3 is negative"),
        (r'confidence = "paper"', 'confidence = "sure"', "timing.RL.confidence: invalid enum value 'sure'"),
        (r'confidence = "paper"', 'confidence = "user"', "timing.RL.confidence: invalid enum value 'user'"),
        (r'source = \["MED", ', 'source = ["WIKI", ', "timing.RL.source: label 'WIKI' is not in"),
        (r'^(tRREFD .*)source = \["J4"\]', r"\1source = []", "timing.tRREFD.source: is empty"),
        (r'rule = "tRAS \+ tRP"', 'rule = "tRAS - tRP"', "timing.tRC.rule: 'tRAS - tRP' is unknown; known: "),
        (r'^(tRFCab  = .*)$', r"\1\ntREFI = 5", "variants.24Gb_8H: table contains unknown field `tREFI`"),
        (
            r'^(tRFCab  = .*)$',
            r'\1\nRL = { unit = "nCK", nck = 3, confidence = "spec", source = ["J4"] }',
            "variants.24Gb_8H.RL: is given here and in timing; keep one",
        ),
    ],
)  # fmt: skip
def test_a_damaged_preset_is_refused(pattern: str, replacement: str, message: str) -> None:
    assert message in damaged(pattern, replacement)


LINES = preset_text(FILE).splitlines(keepends=True)


@given(
    at=st.integers(0, len(LINES) - 1),
    line=st.one_of(st.text(max_size=40), st.sampled_from(LINES)),
)
def test_any_changed_line_gives_a_preset_or_one_clear_line(at: int, line: str) -> None:
    text = "".join((*LINES[:at], line, *LINES[at + 1 :]))
    try:
        parse(text, FILE)
    except HbmDeviceError as error:
        assert str(error).startswith(f"{FILE}: ")
        assert "\n" not in str(error)


def test_the_undamaged_text_is_accepted() -> None:
    assert parse(preset_text(FILE), FILE).name == "HBM4_8000"


def test_rules_that_form_a_circle_or_lack_a_base_are_refused() -> None:
    from fractions import Fraction

    from hbmmodel.device.derive import Grid, Requirement, resolve
    from hbmmodel.device.model import Value

    def need(name: str, rule: str) -> Requirement:
        return Requirement(Value(name, None, Fraction(0), "ns", "spec"), rule=rule)

    grid = Grid(Fraction(500), frozenset(), 16)
    with pytest.raises(
        HbmDeviceError, match=r"x: timing\.tRFCab\.rule depends on itself \(tRFCab -> tRFCpb -> tRFCab\)"
    ):
        resolve({"tRFCab": need("tRFCab", "tRFCpb"), "tRFCpb": need("tRFCpb", "tRFCab")}, grid, "x")
    with pytest.raises(HbmDeviceError, match=r"x: timing\.tPDmin\.rule needs tCPDED, which is missing"):
        resolve({"tPDmin": need("tPDmin", "tCPDED")}, grid, "x")
