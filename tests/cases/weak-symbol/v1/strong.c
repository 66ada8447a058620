const char *overridden(void) { return "strong"; }
