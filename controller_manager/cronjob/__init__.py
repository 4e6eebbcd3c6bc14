"""CronJobs: a Job for each moment of a schedule."""
