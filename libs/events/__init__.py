"""What crosses a service border: event models, their wire names, and the transport."""
