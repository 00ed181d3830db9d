"""Whether storage and tables agree: every object has its holder, every reference its object."""
