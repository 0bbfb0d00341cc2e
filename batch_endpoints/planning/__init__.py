"""Decisions before a run: pure functions from what is asked and what there is to what will be done."""
