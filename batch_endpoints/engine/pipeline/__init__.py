"""Steps of pipelines: a graph of them run by one driver, and the attempts of a command."""
