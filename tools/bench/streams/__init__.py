"""What the streams' machinery makes of its parts: replay, live consumption, consumer, relay."""
