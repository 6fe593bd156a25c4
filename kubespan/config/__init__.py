"""The configuration, from YAML text to one `NodeConfig`, with every mistake and its line."""
