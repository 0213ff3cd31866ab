"""Sphinx configuration: Markdown pages as they lie here, and the docstrings of the public names.

Nothing is fetched when the site is built or read: search, fonts and both colour schemes work offline.
"""

from __future__ import annotations

import hbmmodel

project = "hbmmodel"
author = "the hbmmodel maintainers"
copyright = author
release = version = hbmmodel.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
napoleon_google_docstring = False
napoleon_custom_sections = ["Source"]
autodoc_member_order = "bysource"
autodoc_typehints = "none"
html_theme = "furo"
html_title = f"hbmmodel {release}"
html_copy_source = False
html_show_sphinx = False
