"""What tests of the webapp share: its small dataset, database, pages and expected values."""
