"""Sphinx's settings: `make docs`. The pages are plain Markdown, which any forge shows as it is."""

import sys
from importlib.metadata import version as of
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]  # the extension beside this, and the code that it reads

project = "Tercet"
author = "Tercet's authors"
release = version = of("tercet")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "generated"]
html_theme = "furo"
html_title = f"Tercet {release}"
include_patterns = ["docs/**", "decisions/*.md"]
root_doc = "docs/index"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autodoc_typehints = "signature"
