"""What Azure ML's parallel runs offer to a script, for scripts that import it."""
