"""Into Kafka: files, daily history, replays, the live clock, and the demo."""
