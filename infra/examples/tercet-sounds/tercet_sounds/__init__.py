"""A worked plug-in of Tercet: a member of four tables, each in a file of its own."""
