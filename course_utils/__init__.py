"""Shared code of the deep-learning course: what more than one notebook needs.

Importing this package, or any module in it, has no effect: nothing is
downloaded, seeded, styled or printed.
"""
