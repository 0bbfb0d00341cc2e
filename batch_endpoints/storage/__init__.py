"""Bytes: where they are, what a job is given, rows of it, the job's folder, and what comes out."""
