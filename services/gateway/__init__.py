"""The only public door. Decides alone who a user is, what a job costs, and if it is admitted."""
