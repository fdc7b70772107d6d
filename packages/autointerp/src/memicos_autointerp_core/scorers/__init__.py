"""Methods of scoring an explanation: how well it tells texts on which the feature is active from others."""
