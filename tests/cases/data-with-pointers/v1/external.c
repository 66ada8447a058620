int external(int x) { return x + 40; }
