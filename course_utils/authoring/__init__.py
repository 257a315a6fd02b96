"""Commands for authors: build notebooks, keep the ledger, write the README's tables.

They need the ``dev`` extra. The Makefile calls them; see CONTRIBUTING.md.
"""
