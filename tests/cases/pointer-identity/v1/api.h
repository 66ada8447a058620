typedef int (*handler)(void);
int handle(void);
handler other_address(void);
