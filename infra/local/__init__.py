"""The embedded system: real parts and the services as supervised processes of one machine."""
