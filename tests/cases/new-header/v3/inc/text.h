#define TEXT "changed in the header"
