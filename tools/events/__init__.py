"""One module per subcommand of `./daygen events`, and what they share."""
