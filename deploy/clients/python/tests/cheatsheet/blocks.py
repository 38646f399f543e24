"""The blocks of the cheatsheet, from the page as it is."""

import textwrap
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parent / "python-backend-cheatsheet.md"


@dataclass(frozen=True)
class Block:
    """One block: the section it stands in, its number there, and its text."""

    section: str
    number: int
    text: str

    @property
    def key(self) -> str:
        """As rows name it."""
        return f"{self.section}#{self.number}"


def blocks() -> list[Block]:
    """All Python blocks of the page, in order."""
    found: list[Block] = []
    section, lines = "", list[str]()
    inside = False
    for line in PAGE.read_text().splitlines():
        if line.startswith("#") and not inside:
            section = line.lstrip("#").split()[0].rstrip(".").replace("\\", "")
        elif line.strip() == "```python":
            inside, lines = True, []
        elif line.strip() == "```" and inside:
            inside = False
            number = sum(block.section == section for block in found)
            found.append(Block(section, number, textwrap.dedent("\n".join(lines)) + "\n"))
        elif inside:
            lines.append(line)
    return found
