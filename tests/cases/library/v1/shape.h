extern int shape_total;
const char *shape_name(void);
int shape_area(int side);
int shape_detail(int x);
