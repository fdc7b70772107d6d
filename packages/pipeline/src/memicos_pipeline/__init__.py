"""Makes datasets of dashboards from text, a model and SAEs (`memicos generate`), and recomputes their values."""
