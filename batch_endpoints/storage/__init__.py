"""Bytes: inputs that are listed and read, commits and parts, outputs, uploads."""
