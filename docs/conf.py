"""Sphinx configuration: Markdown pages as they lie here, and the docstrings of the public names."""

from __future__ import annotations

import hbmmodel

project = "hbmmodel"
author = "the hbmmodel maintainers"
release = version = hbmmodel.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
napoleon_google_docstring = False
napoleon_custom_sections = ["Source"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
html_theme = "alabaster"
html_theme_options = {"description": release, "fixed_sidebar": True}
