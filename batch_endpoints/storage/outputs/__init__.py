"""What comes out of a job: rows, files of scripts, lists of items, and the place that they go to."""
