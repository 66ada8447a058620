void old_thrower(void);
void old_catcher(void (*callback)(void));
