int other[4];
int shared;
int added;

void bump(void) {
    added++;
    shared++;
    other[2] += added > 0 ? 2 : 0;
}
