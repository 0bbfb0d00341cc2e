"""The worker: one bundle of mini-batches, read, scored and committed."""
