"""Projections made anew from the streams, beside the live tables, while the service serves."""
