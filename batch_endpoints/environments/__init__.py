"""Environments: from what a deployment says it needs to an interpreter on this machine."""
