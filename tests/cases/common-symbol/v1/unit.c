int shared;
int other[4];

void bump(void) {
    shared++;
    other[2] += 2;
}
