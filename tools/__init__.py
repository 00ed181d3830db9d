"""The command line, the checks of the tree and the benches."""
