"""A worker of background jobs for tests, and jobs that explain and score."""
