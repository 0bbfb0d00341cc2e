"""``python -m batch_endpoints.cli``: the command line, where its script is not on the PATH."""

from batch_endpoints.cli import main

main(prog_name="batch-endpoints")
