"""Decisions during a run: pure functions over values, without a clock."""
