"""Language models behind OpenAI's chat completions: named profiles, calls, rate limits, faults, and stored answers."""
