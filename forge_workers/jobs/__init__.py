"""The queue runtime: jobs, their queue in Redis, and the daemon that does them. Never imports Dagster."""
