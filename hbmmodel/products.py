"""Memory systems of products, by name: device, stacks and cooling, each with its source.

Owns the list (``products.toml``) and the making of a `System` from it; it must not know what systems are used for.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources
from typing import Any

import msgspec

from hbmmodel.device import device
from hbmmodel.errors import HbmArgumentError
from hbmmodel.shelf import did_you_mean
from hbmmodel.system import System
from hbmmodel.thermal.cooling import Cooling

__all__ = ["Product", "product", "product_info", "products"]


@dataclass(frozen=True)
class Product:
    """What is known of a product.

    Attributes
    ----------
    title : str
        Vendor, name, capacity.
    device, variant : str
        Preset of its stacks.
    stacks : int
    peak_tb_per_s : float
        The vendor's figure; that of the preset's bin may differ by some per cent.
    cooling : str
        ``air`` or ``liquid``: which of the two estimates.
    confidence, source : str
        Of all but the cooling.
    """

    title: str
    device: str
    variant: str
    stacks: int
    peak_tb_per_s: float
    cooling: str
    confidence: str
    source: str


@functools.cache
def _load() -> tuple[dict[str, Product], dict[str, dict[str, Any]]]:
    text = resources.files("hbmmodel").joinpath("products.toml").read_text(encoding="utf-8")
    content = msgspec.toml.decode(text)
    cooling = content.pop("cooling")
    return {name: msgspec.convert(entry, Product, strict=True) for name, entry in content.items()}, cooling


def products() -> tuple[str, ...]:
    """Names of the products, by vendor and age.

    Examples
    --------
    >>> import hbmmodel as hbm
    >>> "H200" in hbm.products()
    True
    """
    return tuple(_load()[0])


def product_info(name: str) -> Product:
    """What is known of a product, with its source.

    Raises
    ------
    HbmArgumentError
        There is no such product.
    """
    known = _load()[0]
    wanted: object = name
    key = wanted.upper().replace("-", "_").replace(" ", "_") if isinstance(wanted, str) else ""
    if key not in known:
        hint = did_you_mean(key, known)
        raise HbmArgumentError(f"unknown product {name!r}; {hint}choose one of {', '.join(known)}")
    return known[key]


def product(name: str, **changes: Any) -> System:
    """The memory system of a product.

    Parameters
    ----------
    name : str
        One of `products`, in upper or lower case.
    **changes
        Fields of `System` in place of the product's.

    Returns
    -------
    System

    Raises
    ------
    HbmArgumentError
        There is no such product, no such field, or the system refuses a value.

    Source
    ------
    ``products.toml``; `product_info` tells the entry.  Cooling is estimated: no vendor publishes it.

    Examples
    --------
    >>> import hbmmodel as hbm
    >>> rubin = hbm.product("rubin")
    >>> rubin.stacks, round(rubin.peak_gb_per_s / 1000, 1), rubin.cooling.coolant_c
    (8, 21.9, 45.0)
    """
    info = product_info(name)
    around = _load()[1][info.cooling]
    cooling = Cooling(h_top_w_m2k=around["h_top_w_m2k"], coolant_c=around["coolant_c"])
    fields: dict[str, Any] = {"device": device(info.device, info.variant), "stacks": info.stacks, "cooling": cooling}
    try:
        return System(**{**fields, **changes})
    except TypeError:
        from dataclasses import fields as fields_of

        names = [f.name for f in fields_of(System)]
        unknown = next((key for key in changes if key not in names), None)
        if unknown is None:
            raise
        hint = did_you_mean(unknown, names)
        raise HbmArgumentError(f"a system has no field {unknown!r}; {hint}fields: {', '.join(names)}") from None
