"""Prints what pip installed, by its report, as requirements with hashes: pinned.py REPORT.json > requirements.txt.

What came from no index, the wheel of linkweather itself, is left out: its checksum is beside it.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def lines(report: Any) -> Iterator[str]:
    """A line for each package: its name, version and hash."""
    for item in report["install"]:
        if item.get("is_direct"):
            continue
        sha256 = item["download_info"]["archive_info"]["hashes"]["sha256"]
        yield f"{item['metadata']['name'].lower()}=={item['metadata']['version']} --hash=sha256:{sha256}"


if __name__ == "__main__":
    print(*sorted(lines(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))), sep="\n")
