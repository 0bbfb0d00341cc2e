"""The seams: what the use cases ask for, and what adapters promise. Each has one contract test body."""
