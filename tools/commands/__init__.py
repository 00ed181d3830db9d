"""One module per command of `./daygen`: a docstring, `configure(parser)` and `run(arguments)`."""
