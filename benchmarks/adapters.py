"""Both adapters' overhead, one line of JSON each: python -m benchmarks.adapters. Exit 1 when a promise is not kept."""

from __future__ import annotations

import sys

from benchmarks import adapters_langchain, adapters_llamaindex

if __name__ == "__main__":
    sys.exit(max(adapters_langchain.main(), adapters_llamaindex.main()))
