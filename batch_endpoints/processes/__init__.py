"""A user's process: started in a session of its own, watched, and ended with all that it has started."""
