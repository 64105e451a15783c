"""The report page at the end of a command; a page that fails never makes a run fail."""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger("molvae")


def leave_page(run_dir: Path) -> None:
    """Write the page of a run that has ended, and say where it is."""
    try:
        from molvae.report.report import write_report

        print(f"report: {write_report(run_dir).resolve()}")
    except ImportError as error:  # a bare GPU node has what training needs
        log.warning("no report page: %s; where all of molvae is installed: molvae report %s", error, run_dir)
    except Exception as error:
        log.warning("no report page: %s", error)


def bring_up_to_date(run_dir: Path) -> None:
    """Let the tables of a search that is at work, or was killed, show all of its record."""
    try:
        from molvae.search.catch_up import catch_up

        catch_up(run_dir)
    except Exception as error:  # the page shows the tables that there are
        log.warning("the tables could not be brought up to date: %s", error)
