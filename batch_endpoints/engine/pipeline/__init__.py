"""How one pipeline job runs: a driver that walks the graph, and what one attempt of a command step does."""
