"""The configuration, from YAML text to one `NodeConfig`, with every mistake and its line.

Text becomes nodes that know their place (`compose`), a document becomes a section that says what
stands in it (`section` and the files beside it), and all of them together become what is meant
(`whole`). Nothing here acts on a configuration. The door is `read`.
"""
