"""HTTP in: one module per feature, each a function that makes a router from its parts."""
