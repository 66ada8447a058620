"""The command line: one module a verb, each with `parser()` and `main(args)`; `main.py` picks one."""
