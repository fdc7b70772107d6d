"""Methods of explaining a feature. Each is a module with a prompt and a parser of the model's answer."""
