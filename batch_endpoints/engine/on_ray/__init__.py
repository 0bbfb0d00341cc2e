"""The engine on Ray: drivers as Ray jobs, and workers as actors."""
