"""What the README and the help pages promise is there."""

from __future__ import annotations

import re

import pytest

from tests.conftest import TESTS

REPO = TESTS.parent
README = (REPO / "README.md").read_text()


def test_the_readme_names_every_graph_and_no_other() -> None:
    section = README.split("## What can be made")[1].split("\n## ")[0]
    table = "\n".join(line for line in section.splitlines() if line.startswith("|"))
    named = set(re.findall(r"`([a-z0-9.-]+)`", table))
    assert named == {path.stem for path in (REPO / "workflows").glob("*.json")}


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in (REPO / "docs").glob("*.md"))])
def test_links_lead_somewhere(page: str) -> None:
    folder = (REPO / page).parent
    links = re.findall(r"\]\(([^)#]+)\)", (REPO / page).read_text())
    missing = [link for link in links if "://" not in link and not (folder / link).exists()]
    assert missing == []
