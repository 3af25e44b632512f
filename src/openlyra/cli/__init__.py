"""The command line: one small module a command; it parses, calls the library and prints."""
