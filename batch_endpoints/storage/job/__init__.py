"""The job folder: what driver, workers and controller write for each other."""
