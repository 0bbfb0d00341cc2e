"""The graph of a pipeline: read, checked as a whole, flattened; and what one job of it asks for."""
