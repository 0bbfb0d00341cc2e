"""The driver: one job, from its folder to its report."""
