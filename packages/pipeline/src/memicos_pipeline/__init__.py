"""Text -> activations -> dashboards -> dataset: the `memicos` command."""
