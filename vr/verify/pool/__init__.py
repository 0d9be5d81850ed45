"""The worker pool: processes that judge tasks, with deadlines that the caller holds."""
