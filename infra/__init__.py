"""What DayGen runs on: the embedded parts and the set-up of Kafka and Postgres."""
