"""Search for molecules that an oracle scores highly, in few oracle calls: `optimise`, `propose` for measurements that
no program can call for, or ask and tell (`Search`)."""

from molvae.search.ask_tell import Search
from molvae.search.ledger import Record
from molvae.search.loop import run_search
from molvae.search.python import optimise, propose
from molvae.search.result import SearchResult

__all__ = ["Record", "Search", "SearchResult", "optimise", "propose", "run_search"]
