"""The commands, one file each, named as they are typed: options in, one operation, one renderer."""
