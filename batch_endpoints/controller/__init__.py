"""The controller: brings records and what really runs into agreement."""
