"""The gallery alone decides which pictures a user has, and serves them."""
