"""Search for molecules that an oracle scores highly, in few oracle calls: `optimise`, or ask and tell (`Search`)."""

from molvae.search.ask_tell import Search
from molvae.search.ledger import Record
from molvae.search.loop import run_search
from molvae.search.python import optimise
from molvae.search.result import SearchResult

__all__ = ["Record", "Search", "SearchResult", "optimise", "run_search"]
