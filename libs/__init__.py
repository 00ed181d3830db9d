"""What services share: the events that cross a border, and what every process needs to run."""
