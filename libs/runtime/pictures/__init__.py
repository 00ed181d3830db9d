"""Pictures as bytes: what their heads say of them, and what is taken out of them on the way."""
