#define TEXT "from the header"
