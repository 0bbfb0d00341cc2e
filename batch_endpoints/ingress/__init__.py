"""The HTTP edge: routes over the control plane, and the only async code there is."""
