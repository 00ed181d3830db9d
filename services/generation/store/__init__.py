"""Every SQL statement of generation: the queue, the ends of jobs, the sweeping of attempts."""
