"""Routes, a module for each noun: they parse, call the control plane and shape its answer."""
