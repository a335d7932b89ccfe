"""What mkdocs.yml cannot say: pictures from outside docs/, no module left out, what search finds.

Pages show pictures of metrics/ and benchmarks/ by `../`, which is right where they are read as
files. The site has copies, in folders of the same names, and its links go there.
"""

import logging
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

LOG = logging.getLogger("mkdocs.hooks.worldmodels")
OUTSIDE = re.compile(r"(?<=\]\()\.\./((?:benchmarks|metrics)/[^)#\s]+\.png)(?=\))")
DIRECTIVE = re.compile(r"^::: (\S+)$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pictures that pages show; warn of modules that no page of the reference has."""
    root = Path(config.config_file_path).parent
    texts = [page.content_string for page in files.documentation_pages()]
    for name in sorted({name for text in texts for name in OUTSIDE.findall(text)}):
        if (root / name).is_file():
            files.append(File.generated(config, name, abs_src_path=str(root / name)))
    shown = {module for text in texts for module in DIRECTIVE.findall(text)}
    for path in sorted((root / "worldmodels").rglob("*.py")):
        module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        if module not in shown:
            LOG.warning("%s is on no page of docs/reference/", module)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The links of pages to these pictures."""
    return OUTSIDE.sub(r"\1", markdown)


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The search finds what is said of the code, and not the code."""
    return html.replace(
        'class="mkdocstrings-source"', 'class="mkdocstrings-source" data-search-exclude'
    )
