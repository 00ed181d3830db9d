"""The only public door. Decides alone: who a user is, what a job costs, and whether it is admitted."""
