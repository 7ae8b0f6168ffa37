"""Judge a report on a real project: ``python -m tests.smoke.real.judge FILE``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

SHARE = 0.9
"""How many of the patterns have to be ok."""


def main(path: str) -> int:
    """Print what was found; 1 when it is less than promised."""
    text = Path(path).read_text(encoding="utf-8")
    # Some projects greet on standard output when their settings are loaded.
    report = json.loads(text[text.index("{") :])
    rows = report["results"]
    share = report["summary"]["ok"] / len(rows)
    print(f"{len(rows)} patterns, {share:.1%} ok")
    mute = [row for row in rows if row["outcome"] != "ok" and not row["reason"]]
    for row in rows:
        if row["outcome"] in ("failed", "doubtful"):
            print(f"  {row['outcome']} {row['url']}: {row['reason'][:120]}")
    return int(share < SHARE or bool(mute))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
