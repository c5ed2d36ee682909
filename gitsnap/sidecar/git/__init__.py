"""git's formats: dulwich, and what gitsnap adds to it. The only importer of dulwich."""
