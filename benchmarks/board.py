"""How long a hundred thousand cells take to become a page, and the page to be usable; needs Playwright and Chromium.

python -m benchmarks.board       # half a minute
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.support.boards import hundred_thousand


def main() -> None:
    """Print seconds, memory and sizes."""
    with tempfile.TemporaryDirectory() as folder:
        results, site = Path(folder) / "results", Path(folder) / "site"
        cells = hundred_thousand(results)
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "leaderboard", "build", results, "-o", site], check=True)
        seconds = time.perf_counter() - start
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        size = sum(path.stat().st_size for path in site.rglob("*") if path.is_file())
        print(f"{cells} cells: built in {seconds:.1f} s with {memory:.0f} MB at most; {size / 1e6:.1f} MB")
        print(f"usable after {opened(site):.2f} s")


def opened(site: Path) -> float:
    """Seconds from asking for the page until its board is drawn and a reader can choose, the median of five."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        seconds = []
        for _ in range(5):
            page = browser.new_page()
            start = time.perf_counter()
            page.goto(f"file://{site}/index.html")
            page.wait_for_selector("body[data-drawn]")
            seconds.append(time.perf_counter() - start)
            page.close()
        browser.close()
    return sorted(seconds)[2]


if __name__ == "__main__":
    main()
