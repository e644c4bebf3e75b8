"""Sphinx's configuration: `just docs` builds the site."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "ext"))

project = "asapbench"
author = "The asapbench authors"
project_copyright = author
extensions = ["myst_parser", "sphinx.ext.autodoc", "asapbench_site"]
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath", "attrs_block", "colon_fence"]
myst_heading_anchors = 4
html_math_renderer = "mathml"
smartquotes = False  # an option begins with two hyphens
nitpick_ignore_regex = [("py:class", ".*")]  # types in signatures: torch's and Python's have no page here
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
html_theme = "furo"
html_title = "asapbench"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072b2", "color-brand-content": "#0072b2"},
    "dark_css_variables": {"color-brand-primary": "#56b4e9", "color-brand-content": "#56b4e9"},
}
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # a page on disk may not read the others
